// The shipped template as a person meets it: open, Run, watch, and drop the saved clip back on an empty canvas.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { clear, dropFile, graph, openTemplate, run, waitPreview } from './page.mjs'

const shape = ({ nodes, links, groups }) => ({
  nodes: nodes.map(({ id, type, pos, title, widgets_values }) => ({ id, type, pos: [...pos], title, widgets_values })),
  links: links.map((link) => link.slice(1).join(' ')).sort(),
  groups: groups.map(({ title }) => title)
})

export default async (page, { name, pack, output }) => {
  await openTemplate(page, name, pack)
  const before = shape(await graph(page))
  const ran = await run(page)
  const preview = await waitPreview(page)
  const clips = readdirSync(output, { recursive: true }).filter((file) => file.endsWith('.mp4'))
  const newest = clips.map((file) => join(output, file)).sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0]
  await clear(page)
  await dropFile(page, newest)
  return { before, ran, preview, after: shape(await graph(page)) }
}

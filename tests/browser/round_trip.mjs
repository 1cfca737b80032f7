// A graph of core nodes goes on the canvas, Run makes a video, its preview plays, and the saved file dropped back restores the graph.

import { clear, dropFile, graph, load, run, waitPreview } from './page.mjs'

export default async (page, { workflow, output }) => {
  await load(page, workflow)
  const before = await graph(page)
  const ran = await run(page, 60)
  const preview = await waitPreview(page)
  await clear(page)
  const name = new URL(preview.source).searchParams.get('filename')
  await dropFile(page, `${output}/${name}`)
  const types = (state) => state.nodes.map((node) => [node.id, node.type, node.pos]).sort((a, b) => a[0] - b[0])
  return { ran, preview, before: types(before), after: types(await graph(page)) }
}

// Pictures to look at: every node of the pack at its default size, alone, as its help shows it; and every template as it opens.

import { mkdirSync } from 'node:fs'
import { openTemplate } from './page.mjs'

const MARGIN = 14

async function node(page, type, path) {
  const area = await page.evaluate(async (type) => {
    const { app } = window
    // Not clear(): the front end keeps widget values by node id, and ids start anew after it.
    for (const node of [...app.graph.nodes]) app.graph.remove(node)
    const node = window.LiteGraph.createNode(type)
    node.pos = [60, 60]
    app.graph.add(node)
    node.setSize([Math.max(320, node.size[0]), node.computeSize()[1]])
    app.canvas.ds.scale = 1.5
    app.canvas.ds.offset = [120, 60]
    app.canvas.deselectAll?.()
    app.canvas.setDirty(true, true)
    await new Promise((resolve) => setTimeout(resolve, 500))
    const { left, top } = app.canvas.canvas.getBoundingClientRect()
    const [x, y, width, height] = [node.pos[0], node.pos[1] - 30, node.size[0], node.size[1] + 30]
    const scale = app.canvas.ds.scale
    return { x: left + (x + 120) * scale, y: top + (y + 60) * scale, width: width * scale, height: height * scale }
  }, type)
  const clip = { x: area.x - MARGIN, y: area.y - MARGIN - 26, width: area.width + 2 * MARGIN, height: area.height + 2 * MARGIN + 26 }
  await page.screenshot({ path, clip })
  return { type, ...area }
}

export default async (page, { types = [], templates = [], pack, folder, docs }) => {
  if (folder) mkdirSync(folder, { recursive: true })
  await page.setViewportSize({ width: 1400, height: 1250 })
  await page.evaluate(() => window.app.extensionManager.setting.set('Comfy.Minimap.Visible', false))
  const nodes = []
  for (const type of types) nodes.push(await node(page, type, docs ? `${docs}/${type}/node.png` : `${folder}/${type}.png`))
  for (const name of templates) {
    await openTemplate(page, name, pack)
    await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView'))
    await page.waitForTimeout(800)
    await page.screenshot({ path: `${folder}/${name}.png` })
  }
  return nodes
}

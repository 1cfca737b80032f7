// The front end opens on an empty graph or its default one; what is registered and what is on the canvas goes back.

import { graph } from './page.mjs'

export default async (page) => ({
  title: await page.title(),
  types: await page.evaluate(() => Object.keys(window.LiteGraph.registered_node_types)),
  nodes: (await graph(page)).nodes.length
})

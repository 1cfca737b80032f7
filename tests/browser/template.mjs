// A template is chosen in the template browser and lands on the canvas.

import { graph, openTemplate } from './page.mjs'

export default async (page, { name, pack }) => {
  await openTemplate(page, name, pack)
  return { types: (await graph(page)).nodes.map((node) => node.type) }
}

// What the front end would queue for a template.

import { openTemplate } from './page.mjs'

export default async (page, { name, pack }) => {
  await openTemplate(page, name, pack)
  return (await page.evaluate(() => window.app.graphToPrompt())).output
}

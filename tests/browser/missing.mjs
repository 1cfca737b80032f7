// A workflow of this pack on a ComfyUI without it: what the page says of the nodes that are not there.

import { readFileSync } from 'node:fs'
import { load, SECONDS, shoot } from './page.mjs'

export default async (page, { workflow, pictures }) => {
  await load(page, JSON.parse(readFileSync(workflow, 'utf8')))
  await page.getByText('View details').click({ timeout: 20 * SECONDS })
  await page.getByText(/missing node/i).first().waitFor({ timeout: 20 * SECONDS })
  await shoot(page, pictures, 'missing')
  return { text: await page.evaluate(() => document.body.innerText) }
}

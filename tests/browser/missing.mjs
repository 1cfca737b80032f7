// A workflow of this pack on a ComfyUI without it: what the page says.

import { readFileSync } from 'node:fs'
import { load, shoot } from './page.mjs'

export default async (page, { workflow, pictures }) => {
  await load(page, JSON.parse(readFileSync(workflow, 'utf8')))
  const named = page.getByText(/unitalking/i)
  await page.waitForFunction(() => /missing/i.test(document.body.innerText), null, { timeout: 20000 }).catch(() => {})
  await page.waitForTimeout(1500)
  await shoot(page, pictures, 'missing')
  return { text: await page.evaluate(() => document.body.innerText), named: await named.count() }
}

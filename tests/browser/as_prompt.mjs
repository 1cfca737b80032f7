// What the front end would queue for each of several workflow files, by file.

import { readFileSync } from 'node:fs'
import { load } from './page.mjs'

export default async (page, { files }) => {
  const prompts = {}
  for (const file of files) {
    await load(page, JSON.parse(readFileSync(file, 'utf8')))
    prompts[file] = (await page.evaluate(() => window.app.graphToPrompt())).output
  }
  return prompts
}

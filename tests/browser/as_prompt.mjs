// Which templates of a pack the template browser offers, and what the front end would queue for each, by name.

import { load, SECONDS } from './page.mjs'

const CARD = 'template-workflow-'

export default async (page, { names, pack }) => {
  await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.BrowseTemplates'))
  const dialog = page.getByRole('dialog')
  await dialog.getByText(pack, { exact: true }).first().click({ timeout: 15 * SECONDS })
  for (const name of names) await dialog.locator(`[data-testid="${CARD}${name}"]`).waitFor({ timeout: 60 * SECONDS })
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'hidden', timeout: 15 * SECONDS })
  const prompts = {}
  for (const name of names) {
    // What a click on the card asks of the server. Clicking one card after the other is unsafe: the host closes its dialog once more, later.
    const workflow = await page.evaluate((path) => fetch(path).then((answer) => answer.json()), `/api/workflow_templates/${pack}/${name}.json`)
    await load(page, workflow)
    prompts[name] = (await page.evaluate(() => window.app.graphToPrompt())).output
  }
  return prompts
}

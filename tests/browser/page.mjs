// What a person does in ComfyUI's front end, as functions on a playwright page. Waits are for states, never for times.

import { readFileSync } from 'node:fs'
import { basename, extname } from 'node:path'

/** PATIENCE=4 in the environment waits four times as long for everything, for a machine that is busy with other things. */
export const SECONDS = 1000 * Number(process.env.PATIENCE ?? 1)
const KINDS = { '.mp4': 'video/mp4', '.webm': 'video/webm', '.png': 'image/png', '.json': 'application/json', '.wav': 'audio/wav' }

// No first-run dialogs, and no minimap: it lies over the lower right corner, so over any node that happens to stand there.
const QUIET = { 'Comfy.TutorialCompleted': true, 'Comfy.Minimap.Visible': false }

/** Settings are the server's, so they hold before the page opens. */
export async function settle(url, settings = {}) {
  for (const [id, value] of Object.entries({ ...QUIET, ...settings })) {
    await fetch(`${url}/api/settings/${id}`, { method: 'POST', body: JSON.stringify(value) })
  }
}

/** Open the front end and wait until its canvas and its nodes are there. */
export async function open(page, url) {
  await page.goto(url)
  await page.waitForFunction(() => window.app?.graph && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 50, null, {
    timeout: 60 * SECONDS
  })
  await page.waitForSelector('[data-testid="queue-button"]', { timeout: 30 * SECONDS })
}

/** The graph as the front end would save it. */
export const graph = (page) => page.evaluate(() => window.app.graph.serialize())

/** Put a workflow (UI format) on the canvas. */
export const load = (page, workflow) => page.evaluate((document) => window.app.loadGraphData(document), workflow)

/** Open a template by its title (file name without .json) from the template browser, under the category of `pack` if one is named. */
export async function openTemplate(page, name, pack = null) {
  const before = JSON.stringify((await graph(page)).nodes.map((node) => [node.id, node.type]))
  await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.BrowseTemplates'))
  const dialog = page.getByRole('dialog')
  await dialog.waitFor({ timeout: 15 * SECONDS })
  if (pack) await dialog.getByText(pack, { exact: true }).first().click()
  const card = dialog.locator(`[data-testid="template-workflow-${name}"]`)
  if (!(await card.count())) await dialog.getByRole('textbox').first().fill(name)
  await card.first().click({ timeout: 60 * SECONDS }) // the first search of some 500 templates takes long
  await page.waitForFunction(
    (old) => JSON.stringify(window.app.graph.serialize().nodes.map((node) => [node.id, node.type])) !== old,
    before,
    { timeout: 15 * SECONDS }
  )
  await dialog.waitFor({ state: 'hidden', timeout: 15 * SECONDS })
}

/** Press Run and wait for the end; resolves to { status, message, steps }: the error that the server sent, how often it told of progress. */
export async function run(page, seconds = 300) {
  await page.evaluate(() => {
    window.__run = new Promise((resolve) => {
      let steps = 0
      for (const event of ['progress', 'progress_state']) window.app.api.addEventListener(event, () => (steps += 1))
      const ends = { execution_success: 'success', execution_error: 'error', execution_interrupted: 'interrupted' }
      for (const [event, status] of Object.entries(ends)) {
        window.app.api.addEventListener(event, ({ detail }) => resolve({ status, message: detail?.exception_message ?? '', steps }), {
          once: true
        })
      }
    })
  })
  await page.click('[data-testid="queue-button"]')
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`the run did not end within ${seconds} s`)), seconds * SECONDS).unref())
  return Promise.race([page.evaluate(() => window.__run), late])
}

/** Wait for a video preview in the page and for it to really play; resolves to what was decoded. */
export async function waitPreview(page, seconds = 30) {
  await page.waitForSelector('video', { state: 'attached', timeout: seconds * SECONDS })
  await page.evaluate(() => {
    const video = [...document.querySelectorAll('video')].at(-1)
    video.loop = true
    video.muted = true
    return video.play()
  })
  await page.waitForFunction(() => [...document.querySelectorAll('video')].at(-1).webkitDecodedFrameCount > 1, null, { timeout: seconds * SECONDS })
  return page.evaluate(() => {
    const video = [...document.querySelectorAll('video')].at(-1)
    return {
      width: video.videoWidth,
      height: video.videoHeight,
      seconds: video.duration,
      frames: video.webkitDecodedFrameCount,
      audioBytes: video.webkitAudioDecodedByteCount,
      source: video.currentSrc
    }
  })
}

/** Drop a file from disk on the empty middle of the canvas, as from a file manager, and wait until the graph has changed. */
export async function dropFile(page, path) {
  const before = JSON.stringify(await graph(page))
  const content = readFileSync(path).toString('base64')
  const file = { content, name: basename(path), type: KINDS[extname(path)] ?? '' }
  await page.evaluate(({ content, name, type }) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File([bytes], name, { type }))
    const canvas = document.querySelector('#graph-canvas')
    const { x, y, width, height } = canvas.getBoundingClientRect()
    const where = { clientX: x + width / 2, clientY: y + height / 2, bubbles: true, cancelable: true, dataTransfer }
    for (const kind of ['dragenter', 'dragover', 'drop']) canvas.dispatchEvent(new DragEvent(kind, where))
  }, file)
  await page.waitForFunction((old) => JSON.stringify(window.app.graph.serialize()) !== old, before, { timeout: 20 * SECONDS })
}

/** Clear the canvas. */
export const clear = (page) => page.evaluate(() => window.app.graph.clear())

/** Open a node's help in the side panel; resolves to its text and how wide its pictures are. */
export async function openHelp(page, type) {
  await page.evaluate((type) => {
    const node = window.app.graph.nodes.find((each) => each.type === type)
    window.app.canvas.deselectAll?.()
    window.app.canvas.selectNode(node)
  }, type)
  await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')).catch(() => {})
  await page.locator('[data-testid="info-button"]').first().click({ timeout: 15 * SECONDS })
  const content = page.locator('.node-help-content')
  await content.locator('h1, h2').first().waitFor({ timeout: 15 * SECONDS })
  await page.waitForFunction(() => [...document.querySelectorAll('.node-help-content img')].every((image) => image.complete))
  return content.evaluate((help) => ({ text: help.textContent, pictures: [...help.querySelectorAll('img')].map((image) => image.naturalWidth) }))
}

/** Leave a picture of the page in a folder, if one is named. */
export async function shoot(page, folder, name) {
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` })
}

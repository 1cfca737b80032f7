// A voice is recorded in the template that is for it, into the microphone that the browser was started with, and the clip is made with it.

import { openTemplate, run, shoot, waitPreview } from './page.mjs'

const SPEAKING = 4000

/** Press the node's record button, where it is drawn: on the canvas, or as an element. */
async function press(page, vue, name) {
  if (vue) return page.getByTitle(name).or(page.getByRole('button', { name })).first().click()
  const [x, y] = await page.evaluate(() => {
    const { canvas, graph } = window.app
    const node = graph.nodes.find(({ type }) => type === 'RecordAudio')
    const button = node.widgets.find(({ type }) => type === 'audiorecord')
    const { left, top } = canvas.canvas.getBoundingClientRect()
    const { offset, scale } = canvas.ds
    return [left + (node.pos[0] + node.size[0] / 2 + offset[0]) * scale, top + (node.pos[1] + button.y + 10 + offset[1]) * scale]
  })
  await page.mouse.click(x, y)
}

/** Length of the recording in seconds, once it is there. */
async function recording(page) {
  const audio = () => window.app.graph.nodes.find(({ type }) => type === 'RecordAudio').widgets.find((each) => each.element instanceof HTMLAudioElement)
  const handle = await page.waitForFunction(`(${audio})()?.element.src.startsWith('blob:') && (${audio})().element.src`)
  return page.evaluate(async (url) => {
    const bytes = await (await fetch(url)).arrayBuffer()
    return (await new AudioContext().decodeAudioData(bytes)).duration
  }, await handle.jsonValue())
}

export default async (page, { name, pack, vue, pictures }) => {
  await openTemplate(page, name, pack)
  const hint = page.locator('[data-unitalking="hint"]')
  await hint.waitFor({ state: 'attached' })
  await page.evaluate(() => {
    const { canvas, graph } = window.app
    canvas.ds.scale = 1
    canvas.centerOnNode(graph.nodes.find(({ type }) => type === 'RecordAudio'))
    canvas.draw(true, true)
  })
  await press(page, vue, /start recording/i)
  await page.waitForTimeout(SPEAKING)
  await shoot(page, pictures, 'recording')
  await press(page, vue, /stop recording/i)
  const seconds = await recording(page)
  const ran = await run(page)
  const preview = await waitPreview(page)
  const told = await page.evaluate(() => {
    const node = window.app.graph.nodes.find(({ type }) => type === 'EncodeReferenceVoice')
    return window.app.nodeOutputs[node.id].text.join('\n')
  })
  await shoot(page, pictures, 'recorded')
  return { hint: await hint.evaluate((each) => each.shadowRoot.textContent), seconds, ran, preview, told }
}

// The template that records a voice, with a recording in the microphone's place: record, stop, run, and hear what was kept.

import { openTemplate, run, shoot } from './page.mjs'

export default async (page, { name, pack, seconds, pictures }) => {
  await openTemplate(page, name, pack)
  await page.evaluate(async (ms) => {
    const node = window.app.graph.nodes.find(({ type }) => type === 'RecordAudio')
    const button = node.widgets.find((widget) => widget.name === 'audio' && widget.callback && !widget.element)
    await button.callback()
    await new Promise((resolve) => setTimeout(resolve, ms))
    await button.callback()
  }, seconds * 1000)
  await page.waitForFunction(() =>
    window.app.graph.nodes.find(({ type }) => type === 'RecordAudio').widgets.some(({ element }) => element?.src?.startsWith('blob:'))
  )
  const kept = page.evaluate(
    () =>
      new Promise((resolve) => {
        window.app.api.addEventListener('executed', ({ detail }) => detail.output?.audio && resolve(detail.output.text?.[0] ?? ''))
      })
  )
  const ran = await run(page)
  await shoot(page, pictures, 'record')
  return { ran, kept: ran.status === 'success' ? await kept : null }
}

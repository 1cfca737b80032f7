// The pack's own front end on the main template: the estimate while typing, the player and its scrubbing, the help, going on with a clip.

import { graph, openHelp, openTemplate, run, shoot, waitPreview } from './page.mjs'

const panel = (page, name) => page.locator(`[data-unitalking="${name}"]`)

async function type(page, node, name, value) {
  await page.evaluate(
    ([node, name, value]) => {
      const widget = window.app.graph.nodes.find((each) => each.type === node).widgets.find((each) => each.name === name)
      const field = widget.element ?? widget.inputEl
      if (field instanceof HTMLTextAreaElement && field.isConnected) {
        field.value = value
        field.dispatchEvent(new Event('input', { bubbles: true }))
      } else {
        widget.value = value
        widget.callback?.(value)
      }
    },
    [node, name, value]
  )
}

export default async (page, { name, pack, cases, pictures }) => {
  await openTemplate(page, name, pack)
  const estimates = []
  await page.evaluate(() => {
    const node = window.LiteGraph.createNode('UniTalkingPrompt')
    node.pos = [440, -420]
    window.app.graph.add(node)
    window.app.canvas.selectNode?.(node)
    const { ds } = window.app.canvas
    window.__view = { scale: ds.scale, offset: [...ds.offset] }
    ds.scale = 1
    window.app.canvas.centerOnNode(node)
  })
  const line = panel(page, 'estimate').locator('.line')
  await line.waitFor()
  for (const { speech, seconds, expects } of cases) {
    await type(page, 'UniTalkingPrompt', 'seconds', seconds)
    await type(page, 'UniTalkingPrompt', 'speech', speech)
    await page.waitForFunction((numbers) => {
      const { textContent } = document.querySelector('[data-unitalking="estimate"]').shadowRoot.querySelector('.line')
      return (textContent.match(/\d+\.\d/g) ?? []).join() === numbers.join()
    }, expects)
    const warns = await line.evaluate((each) => each.classList.contains('warn'))
    estimates.push({ text: await line.textContent(), warns })
    if (warns) await shoot(page, pictures, 'prompt')
  }
  await page.evaluate(() => {
    const { canvas, graph } = window.app
    graph.remove(graph.nodes.find(({ type }) => type === 'UniTalkingPrompt'))
    Object.assign(canvas.ds, window.__view)
    canvas.setDirty(true, true)
  })
  // A seed that no earlier run had: what is cached tells of no progress.
  await page.evaluate((seed) => {
    const sampler = window.app.graph.nodes.find((each) => each.type === 'JointFlowSampler')
    sampler.widgets.find((widget) => widget.name === 'seed').value = seed
  }, Date.now())
  const ran = await run(page)
  const preview = await waitPreview(page)
  const player = panel(page, 'player')
  await page.evaluate(() => document.querySelector('[data-unitalking="player"] video').pause())
  const strip = player.locator('canvas')
  await strip.focus()
  await page.keyboard.press('Home')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('ArrowRight')
  const stepped = await page.evaluate(() => document.querySelector('[data-unitalking="player"] video').currentTime)
  const box = await strip.boundingBox()
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2)
  const scrubbed = await page.evaluate(() => document.querySelector('[data-unitalking="player"] video').currentTime)
  await page.waitForFunction(() => document.querySelector('[data-unitalking="player"] video').readyState > 1)
  const drawn = await strip.evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return data.some((value) => value > 0)
  })
  await shoot(page, pictures, 'player')
  const previews = await page.evaluate(() => document.querySelectorAll('video').length)
  const words = await player.locator('.row span').textContent()
  const help = await openHelp(page, 'SaveTalkingVideo')
  await shoot(page, pictures, 'help')
  const before = (await graph(page)).nodes.map(({ id }) => id)
  await player.locator('button').click()
  await page.waitForFunction((count) => window.app.graph.nodes.length > count, before.length)
  const state = await graph(page)
  const added = state.nodes.filter(({ id }) => !before.includes(id))
  await page.evaluate(() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView'))
  await shoot(page, pictures, 'continued')
  return { estimates, ran, preview, stepped, scrubbed, drawn, previews, words, help, added }
}

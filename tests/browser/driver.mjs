// Runs one scenario in a real Chromium: node driver.mjs SCENARIO.mjs < {"url", "args", "settings", "screenshot", "microphone"}
// A scenario is `export default async (page, args) => result`. Prints one line of JSON: {result, errors} or {failure, errors}.

import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { open, SECONDS, settle } from './page.mjs'

const { chromium } = createRequire(`${process.env.PLAYWRIGHT_MODULES}/`)('playwright-core')
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const SILENT = ['--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required']

const { url, args, settings, screenshot, microphone } = JSON.parse(readFileSync(0, 'utf8'))
const SPEAKING = microphone
  ? ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-audio-capture=${microphone}`]
  : []
const errors = []
const answer = {}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: [...FLAGS, ...SILENT, ...SPEAKING] })
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } })
  page.setDefaultTimeout(30 * SECONDS)
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(`${message.text()} (${message.location().url})`)
  })
  page.on('pageerror', (error) => errors.push(`${error.name}: ${error.message}`))
  try {
    await settle(url, settings)
    await open(page, url)
    const scenario = await import(pathToFileURL(process.argv[2]))
    answer.result = (await scenario.default(page, args)) ?? null
  } catch (error) {
    answer.failure = String(error.stack ?? error)
  }
  if (screenshot) await page.screenshot({ path: screenshot }).catch(() => {})
} finally {
  await browser.close()
}
console.log(JSON.stringify({ ...answer, errors }))

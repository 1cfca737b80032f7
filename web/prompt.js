// The prompt node says, while somebody types, how many words there are and how long they take. The server counts: there is one estimate.

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { addPanel, chain, element, write } from './panel.js'
import { text } from './texts.js'

const ROUTE = '/unitalking/estimate'
const WATCHED = ['speech', 'seconds', 'language', 'pace']
const PAUSE_MS = 120

export function addEstimate(node) {
  const { root } = addPanel(node, 'estimate', 30)
  const line = element('div', { className: 'line', role: 'status' })
  root.append(line)
  let asked = 0
  let timer

  const widget = (name) => node.widgets.find((each) => each.name === name)
  const described = () => linked('description') || widget('description').value.trim()
  const linked = (name) => node.inputs?.find((input) => input.name === name)?.link != null

  async function ask() {
    const number = ++asked
    if (WATCHED.some(linked)) return write(line, text('linked'))
    const values = Object.fromEntries(WATCHED.map((name) => [name, widget(name).value]))
    if (!values.speech.trim()) return described() ? write(line, text('soundAlone')) : write(line, text('noWords'), true)
    const answer = await api.fetchApi(ROUTE, { method: 'POST', body: JSON.stringify(values) })
    const found = await answer.json()
    if (number !== asked) return
    if (found.error) return write(line, found.error, true)
    const key = { short: 'tooShort', long: 'pauses' }[found.fits] ?? (values.seconds ? 'fits' : 'open')
    write(line, text(key, { counted: counted(found), need: found.seconds.toFixed(1), clip: Number(values.seconds).toFixed(1) }), found.fits === 'short')
  }

  const soon = () => {
    clearTimeout(timer)
    timer = setTimeout(() => ask().catch(() => write(line, '')), PAUSE_MS)
  }
  for (const name of ['description', ...WATCHED]) chain(widget(name), 'callback', soon)
  chain(node, 'onConfigure', soon)
  chain(node, 'onConnectionsChange', soon)
  chain(node, 'onExecuted', (output) => {
    // What the script was is known now, also where it came through a link.
    if (WATCHED.some(linked) && output?.text) write(line, output.text.join('\n').split('\n')[0])
  })
  chain(node, 'onRemoved', () => clearTimeout(timer))
  soon()
}

function counted({ language, words, syllables }) {
  const unit = ['ja', 'zh'].includes(language) ? 'syllables' : 'words'
  return text(unit, { count: unit === 'words' ? words : Math.round(syllables) })
}

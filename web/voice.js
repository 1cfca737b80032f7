// Encode Reference Voice says what a good recording is, and after a run what was kept of it.

import { addPanel, chain, element, write } from './panel.js'
import { text } from './texts.js'

export function addVoiceHint(node) {
  const { root } = addPanel(node, 'hint', 30)
  const line = element('div', { className: 'line', role: 'status' })
  root.append(line)
  write(line, text('ideal'))
  chain(node, 'onExecuted', (output) => {
    if (output?.text) write(line, output.text.join('\n').split('\n')[0])
  })
}

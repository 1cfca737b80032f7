// Encode Reference Voice says what a good recording is, before one is made.

import { addPanel, chain, element, grow, write } from './panel.js'
import { text } from './texts.js'

export function addVoiceHint(node) {
  const { root } = addPanel(node, 'hint', 30)
  const line = element('div', { className: 'line' })
  root.append(line)
  write(line, text('ideal'))
  // What was kept is told and played below the hint.
  chain(node, 'onExecuted', () => requestAnimationFrame(() => grow(node)))
}

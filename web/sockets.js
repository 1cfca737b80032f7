// The colour of voices: sockets of a type that ComfyUI does not know would be grey.

const VOICE = 'UNITALKING_VOICE'
const ON = '#e5547a'
const OFF = '#7a3a4c'

export function colourSockets(node) {
  for (const slot of [...(node.inputs ?? []), ...(node.outputs ?? [])]) {
    if (slot.type === VOICE) Object.assign(slot, { color_on: ON, color_off: OFF })
  }
}

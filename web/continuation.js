// "Continue this clip": adds to the right of a saved clip the nodes that go on where it ends, with the settings that made it.

import { app } from '../../scripts/app.js'
import { loadName } from './clips.js'
import { text } from './texts.js'

const COLUMN = 440
const GAP = 40
/** Of nodes that show a picture once they have one. */
const HEIGHTS = { LoadVideo: 340, SaveTalkingVideo: 480 }

export const isSavedClip = (node) => node?.comfyClass === 'SaveTalkingVideo'

/** Add the nodes and return them; a word instead, and null, where nothing was saved yet. */
export function continueClip(save) {
  const name = loadName(save)
  if (!name) return say('notSaved')
  const graph = save.graph
  const source = (node, input) => node?.getInputNode?.(node.findInputSlot(input)) ?? null
  const sampled = source(source(save, 'video'), 'latent')
  const earlier = sampled?.comfyClass === 'JointFlowSampler' ? sampled : null

  graph.beforeChange()
  const left = save.pos[0] + save.size[0] + 2 * GAP
  const place = columns(graph, left, save.pos[1])
  let loader = modelOf(source(source(save, 'video'), 'vae')) ?? graph.nodes.find(modelOf)
  if (!loader) {
    loader = place(0, 'LoadUniTalkingModel')
    say('noModel')
  }
  const clip = place(0, 'LoadVideo', { file: name })
  const words = place(0, 'UniTalkingPrompt', { speech: '', description: descriptionOf(source(earlier, 'positive')) })
  const onward = place(1, 'UniTalkingContinueClip')
  const sampler = place(1, 'JointFlowSampler', values(earlier))
  const decode = place(2, 'DecodeAV')
  const saved = place(2, 'SaveTalkingVideo', values(save))

  link(loader, 'CLIP', words, 'clip')
  link(loader, 'MODEL', words, 'model')
  for (const node of [onward, sampler]) link(loader, 'MODEL', node, 'model')
  for (const node of [onward, decode]) {
    link(loader, 'VAE', node, 'vae')
    link(loader, 'audio VAE', node, 'audio_vae')
  }
  link(clip, 0, onward, 'video')
  link(words, 'conditioning', sampler, 'positive')
  if (!linkAgain(earlier, 'negative', sampler)) link(place(1, 'CLIPTextEncode', { text: '' }, { loader }), 0, sampler, 'negative')
  linkAgain(earlier, 'voice', sampler)
  link(onward, 'latent', sampler, 'latent')
  link(sampler, 'latent', decode, 'latent')
  link(decode, 'video', saved, 'video')
  graph.afterChange()

  const added = [clip, words, onward, sampler, decode, saved]
  app.canvas.selectItems?.(added)
  app.canvas.setDirty(true, true)
  return added
}

function say(key) {
  app.extensionManager.toast.add({ severity: 'info', summary: 'UniTalking', detail: text(key), life: 4000 })
  return null
}

const modelOf = (node) => (node?.comfyClass === 'LoadUniTalkingModel' ? node : null)

/** A function that adds a node at the end of a column, with the widget values that are given by name. */
function columns(graph, left, top) {
  const ends = []
  return (column, type, given = {}, { loader } = {}) => {
    const node = globalThis.LiteGraph.createNode(type)
    const y = ends[column] ?? top
    node.pos = [left + column * COLUMN, y]
    graph.add(node)
    for (const widget of node.widgets ?? []) if (widget.name in given) widget.value = given[widget.name]
    node.setSize([COLUMN - GAP, Math.max(node.computeSize()[1], HEIGHTS[type] ?? 0)])
    ends[column] = y + node.size[1] + 2 * GAP
    if (loader) link(loader, 'CLIP', node, 'clip')
    return node
  }
}

/** A node's widget values by name; none of no node. */
const values = (node) => Object.fromEntries((node?.widgets ?? []).filter((w) => w.serialize !== false).map((w) => [w.name, w.value]))

function link(from, output, to, input) {
  const slot = typeof output === 'number' ? output : from.outputs.findIndex(({ name }) => name === output)
  return from.connect(slot, to, to.findInputSlot(input))
}

/** Give `to` the link that `from` has on an input; whether there was one. */
function linkAgain(from, input, to) {
  const slot = from?.findInputSlot(input) ?? -1
  const found = slot < 0 ? null : from.getInputLink(slot)
  if (!found) return false
  from.graph.getNodeById(found.origin_id).connect(found.origin_slot, to, to.findInputSlot(input))
  return true
}

/** What was described beside the words, by the node that made the conditioning. */
function descriptionOf(node) {
  const value = (name) => node?.widgets?.find((widget) => widget.name === name)?.value
  return value('description') ?? /<E>\s*([^]*)$/.exec(value('text') ?? '')?.[1] ?? ''
}

// What UniTalking adds to ComfyUI's front end: each part is a module, given to the nodes it is for.

import { app } from '../../scripts/app.js'
import { continueClip, isSavedClip } from './continuation.js'
import { addPlayer, showClip } from './player.js'
import { addEstimate } from './prompt.js'
import { colourSockets } from './sockets.js'
import { text } from './texts.js'
import { addVoiceHint } from './voice.js'

const PARTS = { UniTalkingPrompt: addEstimate, SaveTalkingVideo: addPlayer, EncodeReferenceVoice: addVoiceHint }
const CONTINUE = 'UniTalking.ContinueClip'

const selectedClip = () => Object.values(app.canvas?.selected_nodes ?? {}).find(isSavedClip)

app.registerExtension({
  name: 'unitalking.nodes',
  commands: [
    {
      id: CONTINUE,
      label: 'UniTalking: Continue this clip',
      icon: 'pi pi-forward',
      function: () => {
        const node = selectedClip()
        if (node) continueClip(node)
        else app.extensionManager.toast.add({ severity: 'info', summary: 'UniTalking', detail: text('selectClip'), life: 4000 })
      }
    }
  ],
  nodeCreated(node) {
    colourSockets(node)
    PARTS[node.comfyClass]?.(node)
  },
  getNodeMenuItems(node) {
    return isSavedClip(node) ? [{ content: text('continue'), callback: () => continueClip(node) }] : []
  },
  /** Outputs that come back with a graph, without a run. */
  onNodeOutputsUpdated(outputs) {
    for (const [id, output] of Object.entries(outputs)) {
      const node = app.graph?.getNodeById?.(id)
      if (node?.comfyClass === 'SaveTalkingVideo') showClip(node, output)
    }
  }
})

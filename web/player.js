// The player of Save Talking Video: the picture, and under it the sound's waveform, the mouth's opening and how far they are apart.
// All of it is measured while the clip is written and comes with the node's output; here it is drawn.

import { api } from '../../scripts/api.js'
import { remember } from './clips.js'
import { continueClip } from './continuation.js'
import { addPanel, chain, element } from './panel.js'
import { text } from './texts.js'

const EMPTY_HEIGHT = 0
const HEIGHT = 320
const players = new WeakMap()

export function addPlayer(node) {
  const video = element('video', { controls: true, loop: true, playsInline: true, preload: 'auto' })
  const strip = element('canvas', { tabIndex: 0 })
  strip.setAttribute('role', 'slider')
  strip.setAttribute('aria-label', text('player'))
  strip.setAttribute('aria-valuemin', '0')
  const offset = element('span')
  const onward = element('button', { type: 'button', textContent: text('continue'), onclick: () => continueClip(node) })
  const below = element('div', { className: 'row' }, offset, onward)
  const player = { video, strip, offset, below, clip: null }
  const { host, root } = addPanel(node, 'player', () => (player.clip ? HEIGHT : EMPTY_HEIGHT))
  root.append(element('slot'), strip, below)
  host.append(video)
  for (const part of [video, strip, below]) part.hidden = true
  players.set(node, player)

  // This node shows its clip itself: the host's own preview, classic and new, stays away.
  node.hideOutputImages = true
  node.onDrawBackground = () => {}

  const draw = () => player.clip && drawStrip(strip, player.clip, video)
  for (const event of ['timeupdate', 'seeked', 'loadedmetadata', 'pause']) video.addEventListener(event, draw)
  video.addEventListener('play', () => {
    const step = () => {
      draw()
      if (!video.paused && strip.isConnected) requestAnimationFrame(step)
    }
    step()
  })
  new ResizeObserver(draw).observe(strip)
  scrub(strip, video, () => player.clip)
  chain(node, 'onExecuted', (output) => showClip(node, output))
  chain(node, 'onRemoved', () => video.removeAttribute('src'))
}

/** Show what a run left: `output.images` names the file, `output.unitalking` holds what was measured of it. */
export function showClip(node, output) {
  const player = players.get(node)
  const [file] = output?.images ?? []
  const [clip] = output?.unitalking ?? []
  if (!player || !file || !clip) return
  player.clip = clip
  remember(node, file)
  for (const part of [player.video, player.strip, player.below]) part.hidden = false
  player.offset.textContent = offsetWords(clip)
  player.strip.setAttribute('aria-valuemax', (clip.frames / clip.fps).toFixed(2))
  const query = new URLSearchParams({ filename: file.filename, subfolder: file.subfolder ?? '', type: file.type ?? 'output', t: Date.now() })
  player.video.src = api.apiURL(`/view?${query}`)
  const [width, height] = node.size
  const wanted = node.computeSize?.()[1] ?? height
  if (height < wanted) node.setSize([Math.max(width, 300), wanted])
  drawStrip(player.strip, clip, player.video)
}

function offsetWords({ peaks, offset }) {
  if (!peaks) return text('silent')
  if (offset == null) return text('untold')
  const ms = Math.round(Math.abs(offset) * 1000)
  return text(ms === 0 ? 'together' : offset > 0 ? 'late' : 'early', { ms })
}

/** Pointer and keys on the strip move the picture (and with it the sound). */
function scrub(strip, video, clip) {
  const length = () => video.duration || clip().frames / clip().fps
  const seek = (seconds) => (video.currentTime = Math.min(Math.max(seconds, 0), length() - 1e-3))
  const follow = (event) => {
    const { left, width } = strip.getBoundingClientRect()
    seek(((event.clientX - left) / width) * length())
  }
  strip.addEventListener('pointerdown', (event) => {
    if (!clip() || event.button) return
    event.stopPropagation()
    strip.setPointerCapture(event.pointerId)
    video.pause()
    follow(event)
  })
  strip.addEventListener('pointermove', (event) => strip.hasPointerCapture(event.pointerId) && follow(event))
  strip.addEventListener('keydown', (event) => {
    if (!clip()) return
    const frame = 1 / clip().fps
    const moves = { ArrowRight: frame, ArrowLeft: -frame, PageUp: 10 * frame, PageDown: -10 * frame, Home: -Infinity, End: Infinity }
    if (event.key in moves) seek(video.currentTime + moves[event.key])
    else if (event.key === ' ') video.paused ? video.play() : video.pause()
    else return
    // Handled here: ComfyUI's own shortcuts must not see it.
    event.preventDefault()
    event.stopPropagation()
  })
}

function drawStrip(canvas, clip, video) {
  const scale = globalThis.devicePixelRatio || 1
  const width = Math.round(canvas.clientWidth * scale)
  const height = Math.round(canvas.clientHeight * scale)
  if (!width || !height) return
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height })
  const look = getComputedStyle(canvas)
  const ink = look.color
  const pen = canvas.getContext('2d')
  pen.clearRect(0, 0, width, height)
  const middle = height / 2

  pen.fillStyle = ink
  pen.globalAlpha = 0.45
  const peaks = clip.peaks ?? []
  peaks.forEach((peak, i) => {
    const size = Math.max(scale, peak * (height - 6 * scale))
    pen.fillRect((i / peaks.length) * width, middle - size / 2, Math.max(1, width / peaks.length - scale * 0.4), size)
  })

  pen.globalAlpha = 1
  pen.strokeStyle = '#e5547a'
  pen.lineWidth = 2 * scale
  pen.beginPath()
  clip.mouth.forEach((open, i) => pen.lineTo(((i + 0.5) / clip.frames) * width, height - 4 * scale - open * (height - 8 * scale)))
  pen.stroke()

  pen.font = `${10 * scale}px ${look.fontFamily}`
  pen.fillStyle = ink
  pen.fillText(text('sound'), 6 * scale, 12 * scale)
  pen.fillStyle = '#e5547a'
  pen.fillText(text('mouth'), 6 * scale + pen.measureText(`${text('sound')}  `).width, 12 * scale)

  const length = video.duration || clip.frames / clip.fps
  const x = Math.min(video.currentTime / length, 1) * width
  pen.fillStyle = ink
  pen.fillRect(x - scale, 0, 2 * scale, height)
  canvas.setAttribute('aria-valuenow', video.currentTime.toFixed(2))
  canvas.setAttribute('aria-valuetext', `${video.currentTime.toFixed(2)} s`)
}

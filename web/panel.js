// A panel of our own inside a node: a DOM widget that is not saved with the graph, its look kept to itself in a shadow root.

const look = new CSSStyleSheet()
look.replaceSync(`
  :host { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; overflow: hidden;
    font: 12px/1.35 Inter, Arial, sans-serif; color: var(--input-text, #ddd); }
  .line { padding: 3px 8px; border-radius: 6px; background: var(--comfy-input-bg, #222); }
  .line.warn { box-shadow: inset 3px 0 0 #e08a00; }
  .line.warn::before { content: '\\26a0\\fe0e  '; color: #e08a00; }
  button { font: inherit; color: inherit; background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e);
    border-radius: 6px; padding: 3px 10px; cursor: pointer; }
  button:hover { filter: brightness(1.2); }
  :focus-visible { outline: 2px solid var(--p-primary-color, #0b8ce9); outline-offset: -2px; }
  .row { display: flex; gap: 6px; align-items: center; justify-content: space-between; }
  canvas { width: 100%; height: 64px; border-radius: 6px; background: var(--comfy-input-bg, #222); cursor: pointer; touch-action: none; }
  ::slotted(video) { width: 100%; flex: 1 1 0; min-height: 0; border-radius: 6px; object-fit: contain; background: #000; }
  [hidden] { display: none !important; }
`)

/** Add a panel named `name`, at least `height` pixels high, to a node; its content goes into the shadow root that is returned. */
export function addPanel(node, name, height) {
  const host = document.createElement('div')
  host.dataset.unitalking = name
  const root = host.attachShadow({ mode: 'open' })
  root.adoptedStyleSheets = [look]
  const size = typeof height === 'function' ? height : () => height
  const widget = node.addDOMWidget(name, 'unitalking', host, { serialize: false, hideOnZoom: false, hideInPanel: true, getMinHeight: size })
  widget.serialize = false
  grow(node)
  return { host, root, widget }
}

/** Make a node as high as what is in it needs. */
export function grow(node) {
  const [width, height] = node.size
  const wanted = node.computeSize?.()[1] ?? height
  if (height < wanted) node.setSize([width, wanted])
}

/** `document.createElement` with properties and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

/** Let `after` run whenever `object[name]` was called. */
export function chain(object, name, after) {
  const before = object[name]
  object[name] = function (...args) {
    const result = before?.apply(this, args)
    after.apply(this, args)
    return result
  }
}

/** Let a line say something; `warns` marks it as a warning, in colour and by a sign. */
export function write(line, words, warns = false) {
  line.textContent = words
  line.classList.toggle('warn', warns)
}

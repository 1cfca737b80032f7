// Which saved file a Save Talking Video node shows. Kept beside the graph, so that showing a clip does not change what is saved with it.

const files = new WeakMap()

/** Note the file {filename, subfolder, type} that a node shows. */
export const remember = (node, file) => files.set(node, file)

/** That file's name as Load Video takes it, or null. */
export function loadName(node) {
  const file = files.get(node)
  return file ? `${[file.subfolder, file.filename].filter(Boolean).join('/')} [${file.type ?? 'output'}]` : null
}

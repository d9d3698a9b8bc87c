/** Kept as it was written, so that no digit of it is lost. */
const keepNumbers = (_name: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === 'number' && context?.source !== undefined ? JSON.rawJSON(context.source) : value

type JsonObject = Record<string, unknown>

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value)

/** An event's JSON text without what stands at the path; the same buffer when nothing stands there, or it is not JSON. */
export function withoutProperty(properties: Buffer, segments: readonly string[]): Buffer {
  const last = segments.at(-1)
  if (last === undefined) return properties
  let root: unknown
  try {
    root = JSON.parse(properties.toString('utf8'), keepNumbers)
  } catch {
    return properties // the warehouse will refuse it, with its reason
  }
  let parent: unknown = root
  for (const name of segments.slice(0, -1)) {
    if (!isObject(parent) || !Object.hasOwn(parent, name)) return properties
    parent = parent[name]
  }
  if (!isObject(parent) || !Object.hasOwn(parent, last)) return properties
  delete parent[last]
  return Buffer.from(JSON.stringify(root))
}

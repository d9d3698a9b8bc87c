import type { Property } from '../../shared/filters/filter.ts'
import { parseExactly } from './json-values.ts'
import type { Row } from './shape.ts'

type JsonObject = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A row (timestamp in ms, created_at in ms, id, JSON text) as an event: whole, or only some of its properties. */
export function shapeEvent(row: Row, properties: readonly Property[] | null): JsonObject {
  const [timestampMs, createdAtMs, id, body] = row
  const sent = parseExactly(String(body)) as JsonObject
  const keen = {
    ...(isObject(sent['keen']) ? sent['keen'] : {}),
    timestamp: new Date(Number(timestampMs)).toISOString(),
    created_at: new Date(Number(createdAtMs)).toISOString(),
    id,
  }
  const event = { ...sent, keen }
  return properties === null ? event : pick(event, properties)
}

/** The named properties where they are, nested as they were; names that are not there leave nothing behind. */
function pick(event: JsonObject, properties: readonly Property[]): JsonObject {
  const picked = emptyObject()
  for (const property of properties) {
    const segments = property.kind === 'property' ? property.segments : property.name.split('.')
    const value = segments.reduce<unknown>(
      (at, name) => (isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined),
      event,
    )
    if (value !== undefined) put(picked, segments, value)
  }
  return picked
}

function put(into: Record<string, unknown>, segments: readonly string[], value: unknown): void {
  let at = into
  for (const name of segments.slice(0, -1)) {
    // A parent that was asked for whole has this property already.
    const existing = at[name]
    if (existing !== undefined && Object.getPrototypeOf(existing) !== null) return
    const next = (existing as Record<string, unknown> | undefined) ?? emptyObject()
    at[name] = next
    at = next
  }
  const last = segments.at(-1) ?? ''
  at[last] = value
}

/** Without a prototype, so that a property may be called `__proto__`. */
const emptyObject = (): Record<string, unknown> => Object.create(null) as Record<string, unknown>

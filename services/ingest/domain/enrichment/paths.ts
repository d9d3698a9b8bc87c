import { isJsonObject, type JsonObject, setProperty } from '../json-object.ts'

/** Every path to something that is no object. */
export function leavesOf(object: Readonly<JsonObject>): readonly (readonly string[])[] {
  return Object.entries(object).flatMap(([name, value]) =>
    isJsonObject(value) ? leavesOf(value).map((rest) => [name, ...rest]) : [[name]],
  )
}

/** Whether one of the paths leads through the other. */
export const overlap = (a: readonly string[], b: readonly string[]): boolean =>
  a.slice(0, b.length).every((name, i) => name === b[i])

/** What stands at a path of names, through objects only; undefined when nothing does. */
export function valueAt(event: Readonly<JsonObject>, path: readonly string[]): unknown {
  let value: unknown = event
  for (const name of path) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

/**
 * The event with `result` at `path`, merged into an object that is there; what it does not share with the event is
 * copied. Undefined when something else than an object or null stands in the way: what a client sent is not replaced.
 */
export function withMerged(
  event: Readonly<JsonObject>,
  path: readonly string[],
  result: Readonly<JsonObject>,
): JsonObject | undefined {
  const [name, ...rest] = path
  if (name === undefined) return merged(event, result)
  const old = Object.hasOwn(event, name) ? event[name] : undefined
  if (old !== undefined && old !== null && !isJsonObject(old)) return undefined
  const value = withMerged(isJsonObject(old) ? old : {}, rest, result)
  if (value === undefined) return undefined
  const copy = { ...event }
  setProperty(copy, name, value)
  return copy
}

/** The event without what stands at `path`; the event itself when nothing does. */
export function without(event: JsonObject, path: readonly string[]): JsonObject {
  const [name, ...rest] = path
  if (name === undefined || !Object.hasOwn(event, name)) return event
  if (rest.length === 0) {
    const { [name]: _removed, ...others } = event
    return others
  }
  const old = event[name]
  if (!isJsonObject(old)) return event
  const value = without(old, rest)
  if (value === old) return event
  const copy = { ...event }
  setProperty(copy, name, value)
  return copy
}

function merged(old: Readonly<JsonObject>, result: Readonly<JsonObject>): JsonObject {
  const copy = { ...old }
  for (const [name, value] of Object.entries(result)) {
    const before = Object.hasOwn(old, name) ? old[name] : undefined
    setProperty(copy, name, isJsonObject(value) && isJsonObject(before) ? merged(before, value) : value)
  }
  return copy
}

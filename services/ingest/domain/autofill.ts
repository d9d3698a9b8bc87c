import { isJsonObject, type JsonObject, setProperty } from './json-object.ts'

/**
 * The event with a key's autofill merged in: objects merge, everything else of the autofill wins, arrays replace, and
 * only `keen.addons` is appended to. Neither argument is changed; what they do not share is not copied.
 */
export function withAutofill(event: JsonObject, autofill: Readonly<JsonObject>): JsonObject {
  const merged = merge(event, autofill)
  const addons = [event, autofill].flatMap(addonsOf)
  if (addons.length > 0 && isJsonObject(merged['keen'])) merged['keen'] = { ...merged['keen'], addons }
  return merged
}

function merge(event: JsonObject, autofill: Readonly<JsonObject>): JsonObject {
  const merged = { ...event }
  for (const [name, value] of Object.entries(autofill)) {
    const old = Object.hasOwn(event, name) ? event[name] : undefined
    setProperty(merged, name, isJsonObject(value) && isJsonObject(old) ? merge(old, value) : value)
  }
  return merged
}

function addonsOf(event: Readonly<JsonObject>): readonly unknown[] {
  const keen = Object.hasOwn(event, 'keen') ? event['keen'] : undefined
  const addons = isJsonObject(keen) ? keen['addons'] : undefined
  return Array.isArray(addons) ? addons : []
}

/** An object as JSON has them: neither null, an array, nor a number kept as text. */
export type JsonObject = Record<string, unknown>

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawNumber(value)

/** A number that a double cannot hold, as its JSON text; `JSON.stringify` writes the text as it stands. */
export interface RawNumber {
  readonly rawJSON: string
}

declare global {
  interface JSON {
    rawJSON(text: string): RawNumber
    isRawJSON(value: unknown): value is RawNumber
  }
}

export const isRawNumber = (value: unknown): value is RawNumber => JSON.isRawJSON(value)

/** Sets an own property, whatever its name: `__proto__` is a name like any other in JSON. */
export function setProperty(object: JsonObject, name: string, value: unknown): void {
  if (name === '__proto__') {
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
  } else {
    object[name] = value
  }
}

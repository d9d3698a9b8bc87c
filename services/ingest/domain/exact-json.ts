import { isJsonObject, type JsonObject, setProperty } from './json-object.ts'

const INTEGER = /^-?\d+$/
const INT64_MAX = 2n ** 63n - 1n
const INT64_MIN = -(2n ** 63n)

/** True for numbers that may have lost digits when they became doubles, or that would be written as other digits. */
export const needsExactness = (value: number): boolean =>
  value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER

/** True when no 64-bit integer holds the number, although it was written as an integer. */
export function isBeyondInt64(text: string): boolean {
  if (!INTEGER.test(text)) return false
  if (text.length > 20) return BigInt(text.slice(0, 21)) !== 0n
  const value = BigInt(text)
  return value > INT64_MAX || value < INT64_MIN
}

/**
 * Parses JSON, keeping every digit of integers and the exponent form of large doubles (as RawNumber), and replacing
 * halves of surrogate pairs, which are no Unicode text, by U+FFFD. Several times slower than `JSON.parse`: for texts
 * that need it. Throws SyntaxError. The text must not be nested deeper than recursion can go.
 */
export function parseExactly(text: string): unknown {
  return JSON.parse(text, revive)
}

function revive(_name: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value === 'number') return needsExactness(value) ? exactly(value, context?.source) : value
  if (typeof value === 'string') return value.isWellFormed() ? value : value.toWellFormed()
  return isJsonObject(value) && !Object.keys(value).every((name) => name.isWellFormed()) ? wellFormed(value) : value
}

function exactly(value: number, source: string | undefined): unknown {
  if (!Number.isFinite(value)) return value
  // ClickHouse reads 20 digits without an exponent as an integer, and refuses it.
  return JSON.rawJSON(source !== undefined && INTEGER.test(source) ? source : value.toExponential())
}

function wellFormed(object: JsonObject): JsonObject {
  const copy: JsonObject = {}
  for (const [name, value] of Object.entries(object)) setProperty(copy, name.toWellFormed(), value)
  return copy
}

/** True when the JSON text could hold half a surrogate pair: only an escape can, in text that came as UTF-8. */
export const mayHaveLoneSurrogates = (text: string): boolean => text.includes('\\ud') || text.includes('\\uD')

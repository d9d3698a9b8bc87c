import { int64, isObject, isSameNumber, isWrittenNumber, type JsonValue } from './exact-json.ts'

/** Kinds of values are bits, so that a column's are an or of its values'. */
export const NO_KINDS = 0
export const STRING = 1
export const BOOLEAN = 2
/** A whole number of at most 64 bits that a double holds too. */
export const SMALL_INTEGER = 4
/** One that a double does not hold. */
export const LARGE_INTEGER = 8
/** Any other number that a double prints back; a zero below zero is one. */
export const FRACTION = 16
/** A number that neither holds. */
export const WIDE_NUMBER = 32
/** Arrays, and objects that are kept whole. */
export const JSON_TEXT = 64

/** The kind of a value that is not null. */
export function kindOf(value: JsonValue): number {
  if (typeof value === 'string') return STRING
  if (typeof value === 'boolean') return BOOLEAN
  if (typeof value === 'number') return Number.isInteger(value) ? SMALL_INTEGER : FRACTION
  return value !== null && isWrittenNumber(value) ? kindOfWritten(value.rawJSON) : JSON_TEXT
}

function kindOfWritten(source: string): number {
  const value = Number(source)
  const isExact = isSameNumber(value, source)
  if (Object.is(value, -0)) return isExact ? FRACTION : WIDE_NUMBER
  if (int64(source) !== undefined) return isExact ? SMALL_INTEGER : LARGE_INTEGER
  return isExact ? FRACTION : WIDE_NUMBER
}

/** Why a value that is not a string is no value of a column but its JSON text; undefined for a number or a boolean. */
export function textReason(value: JsonValue): 'array' | 'empty_object' | 'too_deep' | undefined {
  if (Array.isArray(value)) return 'array'
  if (!isObject(value)) return undefined
  return Object.keys(value).length === 0 ? 'empty_object' : 'too_deep'
}

/** A string as itself (UTF-8 makes U+FFFD of half a surrogate pair), any other value as its JSON text, which has no halves. */
export function textOf(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

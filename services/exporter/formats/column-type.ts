import { int64, type JsonValue, type WrittenNumber } from './exact-json.ts'
import { BOOLEAN, FRACTION, LARGE_INTEGER, SMALL_INTEGER, WIDE_NUMBER } from './value-kind.ts'

const NUMBERS = SMALL_INTEGER | LARGE_INTEGER | FRACTION | WIDE_NUMBER

/** A column's type, and of one of text why numbers and booleans in it are text. */
export type ColumnType =
  | { readonly type: 'BOOLEAN' }
  | { readonly type: 'INT64' }
  | { readonly type: 'DOUBLE' }
  | { readonly type: 'TEXT'; readonly why: 'mixed' | 'not_exact' }

/**
 * The type of a column by the kinds of all its values in a file:
 *
 * - all booleans: BOOLEAN
 * - all whole numbers of 64 bits, `2.0` and `1e3` among them: INT64
 * - all numbers, each of them the shortest decimal form of a double (`0.1` is, 2^53 + 1 and 1e400 are not): DOUBLE. A
 *   zero below zero is no whole number, so that it keeps its sign
 * - anything else is text: a string stands as itself, any other value as its JSON text with all digits. That is so for
 *   columns of strings; of numbers that are no doubles (`not_exact`); of arrays, empty objects and objects below the tenth
 *   name; and of values of several types (`mixed`)
 *
 * A property that is null in every event has no column.
 */
export function columnType(kinds: number): ColumnType {
  const isOnly = (allowed: number): boolean => (kinds & ~allowed) === 0
  if (isOnly(BOOLEAN)) return { type: 'BOOLEAN' }
  if (isOnly(SMALL_INTEGER | LARGE_INTEGER)) return { type: 'INT64' }
  if (isOnly(SMALL_INTEGER | FRACTION)) return { type: 'DOUBLE' }
  return { type: 'TEXT', why: isOnly(NUMBERS) ? 'not_exact' : 'mixed' }
}

/** A number as INT64. Throws RangeError on one that is not whole or does not fit, which no value of such a column is. */
export function asInt64(value: JsonValue): bigint {
  if (typeof value === 'number') return BigInt(value)
  const whole = int64((value as WrittenNumber).rawJSON)
  if (whole === undefined) throw new RangeError('not a whole number of 64 bits')
  return whole
}

export const asDouble = (value: JsonValue): number =>
  typeof value === 'number' ? value : Number((value as WrittenNumber).rawJSON)

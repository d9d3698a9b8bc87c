/** A number of JSON that a double would not print as the same number again: as it was written. */
export interface WrittenNumber {
  readonly rawJSON: string
}

export type JsonValue = string | number | boolean | null | WrittenNumber | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [name: string]: JsonValue
}

/** JSON.parse's reviver gets the source text of a value in a third argument, which the type library leaves out. */
type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown
const { rawJSON, isRawJSON } = JSON as unknown as {
  readonly rawJSON: (text: string) => WrittenNumber
  readonly isRawJSON: (value: unknown) => boolean
}

/**
 * What a number must look like for a double to change it: 16 characters and more, an exponent, or a zero below zero. Text
 * within strings may look so too, which costs time and nothing else.
 */
const MAY_CHANGE = /[:[,]\s*-?(?:[\d.]{16}|[\d.]+[eE]|(?<=-)0)/

/**
 * An object's JSON text to values that `JSON.stringify` prints as the same numbers again: a number that a double cannot
 * print back is a WrittenNumber. Throws SyntaxError on text that is no JSON.
 */
export function parseExactly(text: string): JsonObject {
  return MAY_CHANGE.test(text) ? parseWith(text, keepChanging) : JSON.parse(text)
}

/** As `parseExactly`, with every number as it was written: `1.10` stays `1.10`. */
export const parseAsWritten = (text: string): JsonObject => parseWith(text, keepAll)

function parseWith(text: string, reviver: Reviver): JsonObject {
  return JSON.parse(text, reviver as (this: unknown, key: string, value: unknown) => unknown)
}

const keepChanging: Reviver = (_key, value, { source }) =>
  typeof value === 'number' && source !== undefined && !printsBack(value, source) ? rawJSON(source) : value

const keepAll: Reviver = (_key, value, { source }) =>
  typeof value === 'number' && source !== undefined ? rawJSON(source) : value

function printsBack(value: number, source: string): boolean {
  if (Number.isInteger(value))
    return Number.isSafeInteger(value) && !Object.is(value, -0) && isSameNumber(value, source)
  return isSameNumber(value, source)
}

export const isWrittenNumber = (value: object): value is WrittenNumber => isRawJSON(value)

export const isObject = (value: JsonValue): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawJSON(value)

/** True when the double's shortest decimal form is the number that the text says: `0.10` is, 2^53 + 1 is not. */
export function isSameNumber(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return false
  const [printed, written] = [decimal(String(value)), decimal(source)]
  if (printed.digits === '' || written.digits === '') return printed.digits === written.digits
  return (
    printed.digits === written.digits && printed.exponent === written.exponent && value < 0 === source.startsWith('-')
  )
}

const INT64_DIGITS = 19
const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n

/** The whole number that the text says, however it says it (`1e3`, `2.0`), when it fits 64 bits with a sign. */
export function int64(source: string): bigint | undefined {
  const { digits, exponent } = decimal(source)
  if (digits === '') return 0n
  if (exponent < 0 || digits.length + exponent > INT64_DIGITS) return undefined
  const value = BigInt(`${source.startsWith('-') ? '-' : ''}${digits}${'0'.repeat(exponent)}`)
  return value < INT64_MIN || value > INT64_MAX ? undefined : value
}

/** A number of JSON without its sign, as `digits` times ten to the `exponent`; no zeros at either end. Zero: no digits. */
function decimal(source: string): { readonly digits: string; readonly exponent: number } {
  const match = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source)
  const [, whole = '', fraction = '', exponent = '0'] = match ?? []
  const significant = `${whole}${fraction}`.replace(/^0+/, '')
  const digits = withoutEndZeros(significant)
  if (digits === '') return { digits, exponent: 0 }
  return { digits, exponent: Number(exponent) - fraction.length + significant.length - digits.length }
}

/** By hand: a pattern would look at each zero of a long run again. */
function withoutEndZeros(digits: string): string {
  let end = digits.length
  while (end > 0 && digits[end - 1] === '0') end -= 1
  return digits.slice(0, end)
}

/** A whole number that a double would round: its digits, printed as they are. */
export interface ExactNumber {
  readonly rawJSON: string
}
export type JsonScalar = string | number | boolean | null | ExactNumber

/** In the language since V8 11.4; the type library does not have it yet. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => ExactNumber }

/** JSON.parse's reviver gets the source text of a value in a third argument. */
type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown

/** The value whose key (see `keysOf`) this is. */
export function decodeKey(key: string): JsonScalar {
  if (key.startsWith('"')) return key.slice(1)
  if (key === 'true' || key === 'false') return key === 'true'
  return exactNumber(key)
}

/** JSON text to values that print as the same numbers again. */
export function parseExactly(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text)
  const keepDigits: Reviver = (_key, value, context) =>
    typeof value === 'number' && context.source !== undefined ? exactNumber(context.source) : value
  return JSON.parse(text, keepDigits as (this: unknown, key: string, value: unknown) => unknown)
}

function exactNumber(digits: string): number | ExactNumber {
  const number = Number(digits)
  return /^-?\d{16,}$/.test(digits) && !Number.isSafeInteger(number) ? rawJSON(digits) : number
}

/** null, then false, true, then numbers, then texts; each kind in its own order. Texts by code point, as the warehouse has them. */
export function compareScalars(a: JsonScalar, b: JsonScalar): number {
  const [kindA, kindB] = [rankOf(a), rankOf(b)]
  if (kindA !== kindB) return kindA - kindB
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b))
  const [numberA, numberB] = [numeric(a), numeric(b)]
  return numberA < numberB ? -1 : numberA > numberB ? 1 : 0
}

const rankOf = (value: JsonScalar): number =>
  value === null ? 0 : typeof value === 'boolean' ? 1 : typeof value === 'string' ? 3 : 2

const numeric = (value: JsonScalar): number | bigint => {
  if (typeof value === 'object' && value !== null) return BigInt(value.rawJSON)
  return typeof value === 'string' ? 0 : Number(value)
}

/** True for a number whose digits are kept as text. */
export const isRawJson = (value: object): boolean =>
  (JSON as unknown as { readonly isRawJSON: (value: unknown) => boolean }).isRawJSON(value)

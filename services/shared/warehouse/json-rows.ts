import type { ReadResult } from './port.ts'

interface CompactAnswer {
  readonly meta: readonly { readonly name: string; readonly type: string }[]
  readonly data: readonly (readonly unknown[])[]
  readonly statistics: { readonly elapsed: number; readonly rows_read: number; readonly bytes_read: number }
}

type Reviver = (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown
const parseWithSource = JSON.parse as (text: string, reviver: Reviver) => unknown

const LONG_INTEGER = /\d{16}/
const INTEGER = /^-?\d+$/

/** An integer that a double would bend comes as the string of its digits. */
const exact: Reviver = (_key, value, { source }) =>
  typeof value === 'number' && source !== undefined && !Number.isSafeInteger(value) && INTEGER.test(source)
    ? source
    : value

/** Reads an answer in the format JSONCompact. */
export function parseRows(text: string): ReadResult {
  // A reviver makes parsing several times slower: only where some number is long enough to need it.
  const parsed = LONG_INTEGER.test(text) ? parseWithSource(text, exact) : JSON.parse(text)
  const answer = parsed as CompactAnswer
  return {
    columns: answer.meta,
    rows: answer.data,
    rowsRead: answer.statistics.rows_read,
    bytesRead: answer.statistics.bytes_read,
    elapsedS: answer.statistics.elapsed,
  }
}

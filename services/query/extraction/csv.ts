import { stringify } from 'csv-stringify/sync'
import type { Property } from '../../shared/filters/filter.ts'
import { isRawJson } from '../language/json-values.ts'

/** Always there, first. */
const KEEN_PATHS = ['keen.timestamp', 'keen.created_at', 'keen.id'] as const

/**
 * The header: dotted paths. Of whole events all that have a value in one of them (`paths`); of chosen properties each of
 * them, or what is below it when it is an object. `keen`'s three come first, chosen ones in the order of asking, the rest
 * as sorted in `paths`.
 */
export function csvColumns(paths: readonly string[], properties: readonly Property[] | null): readonly string[] {
  const all = new Set<string>([...KEEN_PATHS, ...paths])
  if (properties === null) return [...all]
  const chosen = properties.flatMap(({ name }) => {
    const below = [...all].filter((path) => path.startsWith(`${name}.`))
    // A property that has no value anywhere still has its column: who asks by name looks for it by name.
    return all.has(name) || below.length === 0 ? [name, ...below] : below
  })
  return [...new Set(chosen)]
}

/** Records as RFC 4180 has them: CRLF, quotes where they are needed. What is not there is empty; an empty text is `""`. */
export function csvText(records: readonly (readonly (string | null)[])[], columnCount: number): string {
  return stringify(records as (string | null)[][], {
    record_delimiter: '\r\n',
    quote_record_delimiter: true,
    quoted_match: /^$/,
    // A line with nothing in it would be no record.
    quoted_empty: columnCount === 1,
  })
}

/** What stands at each path of an event. Lists are JSON text; an object is in the columns below it. */
export function csvRecord(event: unknown, columns: readonly (readonly string[])[]): readonly (string | null)[] {
  return columns.map((segments) => {
    let at: unknown = event
    for (const name of segments) {
      if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, name)) return null
      at = (at as Readonly<Record<string, unknown>>)[name]
    }
    return cellText(at)
  })
}

function cellText(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value
  return typeof value !== 'object' || Array.isArray(value) || isRawJson(value) ? JSON.stringify(value) : null
}

import { BOOLEAN, FRACTION, JSON_TEXT, LARGE_INTEGER, SMALL_INTEGER, STRING, WIDE_NUMBER } from './value-kind.ts'
import { DEPTH_MAX } from './property-columns.ts'

/** A property as the warehouse's catalogue has it: its dotted path, and one type that it was seen with. */
export interface SeenProperty {
  readonly path: string
  readonly type: string
}

/** What a type of ClickHouse's says of the kinds of values that were sent: it takes texts that look like times for times. */
function kindsOf(type: string): number {
  switch (type) {
    case 'Bool':
      return BOOLEAN
    case 'Int64':
      return SMALL_INTEGER
    case 'UInt64':
      return LARGE_INTEGER | WIDE_NUMBER
    case 'Float64':
      return FRACTION
    default:
      return /^(String|Date|DateTime)/.test(type) ? STRING : JSON_TEXT
  }
}

/** The columns that the properties of a collection make in a file, by their dotted names: those kinds that were seen of each. */
export function columnsOf(properties: readonly SeenProperty[]): Record<string, number> {
  const columns = new Map<string, number>()
  for (const { path, type } of properties) {
    const names = path.split('.')
    if (names.includes('')) continue // of no column
    const isDeep = names.length > DEPTH_MAX
    const name = names.slice(0, DEPTH_MAX).join('.')
    columns.set(name, (columns.get(name) ?? 0) | (isDeep ? JSON_TEXT : kindsOf(type)))
  }
  return Object.fromEntries(columns)
}

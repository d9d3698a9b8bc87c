import type { Property } from '../../shared/filters/filter.ts'
import { parseProperty } from '../../shared/filters/property.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { PropertyType } from '../catalogue.ts'
import type { Binder } from '../language/bind.ts'
import { createColumnList } from '../language/columns.ts'
import { eventsSource } from '../language/source.ts'
import { numberOf, textOf } from '../language/values.ts'
import type { Compiled, Source } from './compiled.ts'
import { type Position, sqlError } from './tokens.ts'

/** The kinds of value that a property was seen with, by its path. */
export type PropertyTypes = ReadonlyMap<string, readonly PropertyType[]>

/**
 * Of rows, and more than there can be. A condition outside a limit cannot be moved inside it; without one, the warehouse may
 * try a caller's condition on rows before those of the key's, and one that fails there tells that such a row exists.
 */
const BARRIER = '9223372036854775807'
const EVER = { startMs: Number.MIN_SAFE_INTEGER, endMs: Number.MAX_SAFE_INTEGER }
const KEEN_COLUMNS = ['keen.timestamp', 'keen.created_at', 'keen.id'] as const

/**
 * A collection as a table: what comes out of `eventsSource`, so the rows of the grant and no others. A property is of the
 * kind it was seen with; one that was seen with several, or never, is text.
 */
export function collectionSource(
  grant: Grant,
  place: Position & { readonly name: string; readonly collection: string; readonly prefix: string },
  types: PropertyTypes,
  binder: Binder,
): Source {
  const columns = createColumnList(binder, place.prefix)
  const moments = new Map<string, string>()
  /** Nullable, so that a row that a join does not find has no moment rather than the first one there is. */
  const moment = (column: 'timestamp' | 'created_at'): Compiled => {
    const id = `${place.prefix}_${column}`
    moments.set(id, `toNullable(${column}) AS ${id}`)
    return { sql: id, kind: 'moment' }
  }
  const body = (): Compiled => {
    const id = `${place.prefix}_event`
    moments.set(id, `toNullable(body) AS ${id}`)
    return { sql: id, kind: 'text' }
  }
  const valueOf = (property: Property): Compiled => {
    if (property.kind === 'timestamp' || property.kind === 'created_at') return moment(property.kind)
    const column = columns.columnOf(property)
    if (column.kind === 'text') return { sql: `toNullable(${textOf(column)})`, kind: 'text' }
    const [type, ...others] = types.get(property.name) ?? []
    const d = column.value
    if (others.length > 0) return asText(d)
    if (type === 'num') return { sql: numberOf(column), kind: 'number' }
    if (type === 'string') return { sql: textOf(column), kind: 'text' }
    if (type === 'bool') return { sql: `dynamicElement(${d}, 'Bool')`, kind: 'bool' }
    return type === 'array' || type === 'geo' ? { sql: arrayOf(d), kind: 'compound' } : asText(d)
  }
  return {
    column(path, at) {
      const name = path.join('.')
      let property: Property
      try {
        property = parseProperty(name, 'column')
      } catch {
        throw sqlError(at, 'this is no name of a property')
      }
      return valueOf(property)
    },
    name: place.name,
    all: () => [
      ...KEEN_COLUMNS.map((name) => ({ name, ...valueOf(parseProperty(name, name)) })),
      { name: 'event', ...body() },
    ],
    sql: () => {
      const columnSql = [...moments.values(), ...columns.selected()]
      const rows = eventsSource(grant, { collection: place.collection, timeframe: EVER }, columnSql, binder)
      return `(SELECT * FROM ${rows} LIMIT ${BARRIER})`
    },
  }
}

/** Whatever it is, as text; null stays null. */
const asText = (dynamic: string): Compiled => ({ sql: `CAST(${dynamic}, 'Nullable(String)')`, kind: 'text' })

/** Numbers when all are, else texts. */
function arrayOf(dynamic: string): string {
  const of = (type: string): string => `dynamicElement(${dynamic}, 'Array(Nullable(${type}))')`
  const texts = (array: string): string => `arrayMap(x -> toString(x), ${array})`
  return `multiIf(notEmpty(${of('String')}), ${of('String')}, notEmpty(${of('Int64')}), ${texts(of('Int64'))}, notEmpty(${of('Float64')}), ${texts(of('Float64'))}, ${texts(of('Bool'))})`
}

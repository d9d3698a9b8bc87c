import type { Grant } from '../../../shared/registry/grant.ts'
import { parseProperty } from '../../../shared/filters/property.ts'
import { type Binder, createBinder } from '../bind.ts'
import { tableColumn } from '../columns.ts'
import { eventsSource } from '../source.ts'
import type { CompiledSql } from './compile.ts'

const ALWAYS = { startMs: Date.UTC(1900, 0, 1), endMs: Date.UTC(2299, 11, 31) }

/** One row: for each path the array of types that it has in the rows that the grant sees, `None` for nothing. */
export function compileSeenTypes(grant: Grant, collection: string, paths: readonly string[]): CompiledSql {
  const binder = createBinder()
  const values = paths.map((path, i) => `${valueOf(path, binder)} AS c${i}`)
  const source = eventsSource(grant, { collection, timeframe: ALWAYS }, values, binder)
  const types = paths.map((_, i) => `groupUniqArray(${typeOf(`c${i}`)})`)
  return { sql: `SELECT ${types.join(', ')}\nFROM ${source}`, params: binder.params }
}

/** One row: for each path whether an object stands there in a row that the grant sees. */
export function compileSeenObjects(grant: Grant, collection: string, paths: readonly string[]): CompiledSql {
  const binder = createBinder()
  const values = paths.map((path, i) => {
    const column = tableColumn(binder)(parseProperty(path, 'query'))
    return `${column.kind === 'dynamic' ? column.isObject : 'false'} AS c${i}`
  })
  const source = eventsSource(grant, { collection, timeframe: ALWAYS }, values, binder)
  return { sql: `SELECT ${paths.map((_, i) => `max(c${i})`).join(', ')}\nFROM ${source}`, params: binder.params }
}

/**
 * A list is of what is in it. The type that it is stored with, or read from a text with, is one that lists beside it share: an
 * empty one has that of another list, and one of booleans beside one of several kinds is `Array(Dynamic)`. Those may be of rows
 * that the grant does not see.
 */
const typeOf = (dynamic: string): string => {
  const kinds = `arraySort(arrayDistinct(arrayFilter(kind -> kind != 'None', arrayMap(x -> dynamicType(x), dynamicElement(${dynamic}, 'Array(Dynamic)')))))`
  const mixed = `multiIf(empty(${kinds}), 'Array(Nullable(String))', length(${kinds}) = 1, concat('Array(Nullable(', ${kinds}[1], '))'), ${kinds} = ['Float64', 'Int64'], 'Array(Nullable(Float64))', 'Array(Dynamic)')`
  return `multiIf(NOT startsWith(dynamicType(${dynamic}), 'Array'), dynamicType(${dynamic}), toJSONString(${dynamic}) = '[]', 'None', dynamicType(${dynamic}) = 'Array(Dynamic)', ${mixed}, dynamicType(${dynamic}))`
}

function valueOf(path: string, binder: Binder): string {
  const column = tableColumn(binder)(parseProperty(path, 'query'))
  return column.kind === 'dynamic' ? column.value : "CAST('', 'Dynamic')"
}

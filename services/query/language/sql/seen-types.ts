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

/** An empty list says nothing: the type that it is stored with is that of a list that happened to be stored beside it. */
const typeOf = (dynamic: string): string =>
  `if(startsWith(dynamicType(${dynamic}), 'Array'), if(toJSONString(${dynamic}) = '[]', 'None', dynamicType(${dynamic})), dynamicType(${dynamic}))`

function valueOf(path: string, binder: Binder): string {
  const column = tableColumn(binder)(parseProperty(path, 'query'))
  return column.kind === 'dynamic' ? column.value : "CAST('', 'Dynamic')"
}

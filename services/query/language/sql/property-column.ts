import { parseProperty } from '../../../shared/filters/property.ts'
import type { Binder } from '../bind.ts'
import { type Column, type SeenTypes, tableColumn } from '../columns.ts'
import { numberOf, textOf } from '../values.ts'
import type { SqlType } from './types.ts'

const NUMBERS = new Set(['Int64', 'UInt64', 'Float64'])
const LISTED = new Set(['String', 'Int64', 'Float64', 'Bool'])

/** SQL over the table `events` of a property's value as one type: see `naturalOf`. */
export interface PropertyValue {
  readonly sql: string
  /** It was seen with several types, and is their text. */
  readonly isMixed: boolean
}

/**
 * A property as its seen types ask for: whole numbers Nullable(Int64), numbers Nullable(Float64), texts Nullable(String),
 * booleans Nullable(Bool), lists of one of these Array(Nullable(…)), nothing NULL, and everything else Nullable(String): a
 * text as it is, other values as JSON.
 */
export function naturalOf(segments: readonly string[], seen: SeenTypes, binder: Binder): PropertyValue {
  const column = columnOf(segments, binder)
  if (column.kind === 'text') return { sql: column.value, isMixed: false }
  const types = [...seen]
  // Nothing of any type, so that nothing that is asked of it is an error.
  if (types.length === 0) return { sql: 'NULL', isMixed: false }
  const only = types.length === 1 ? types[0] : undefined
  const plain = (sql: string): PropertyValue => ({ sql, isMixed: false })
  if (only === 'Int64' || only === 'Bool' || only === 'String') return plain(element(column.value, only))
  if (types.length > 0 && types.every((type) => NUMBERS.has(type))) return plain(numberOf(column))
  const lists = types.map((type) => /^Array\(Nullable\((\w+)\)\)$/.exec(type)?.[1] ?? '')
  if (lists.length > 0 && lists.every((of) => LISTED.has(of))) {
    if (lists.length === 1) return plain(listOf(column.value, lists[0] ?? ''))
    if (lists.every((of) => NUMBERS.has(of))) return plain(numberList(column.value))
  }
  return { sql: anyText(column, segments, binder), isMixed: true }
}

/** A property of several types read as one of them: what is not of that type is null. */
export function readAs(segments: readonly string[], { name, isArray }: SqlType, binder: Binder): string | undefined {
  const column = columnOf(segments, binder)
  if (column.kind === 'text') return undefined
  if (isArray) {
    if (name === 'Float64') return numberList(column.value)
    return LISTED.has(name) ? listOf(column.value, name) : undefined
  }
  if (name.startsWith('Float')) return numberOf(column)
  if (/^U?Int/.test(name)) {
    const fraction = `accurateCastOrNull(trunc(${element(column.value, 'Float64')}), '${name}')`
    return `coalesce(accurateCastOrNull(${element(column.value, 'Int64')}, '${name}'), ${fraction})`
  }
  if (name === 'Bool') return element(column.value, 'Bool')
  if (name.startsWith('Date')) return `parseDateTime64BestEffortOrNull(${textOf(column)}, 3, 'UTC')`
  return undefined
}

const columnOf = (segments: readonly string[], binder: Binder): Column =>
  tableColumn(binder)(parseProperty(segments.join('.'), 'query'))

const element = (dynamic: string, type: string): string => `dynamicElement(${dynamic}, '${type}')`
/** Lists of one kind, however they are stored (see `compileSeenTypes`): of the two that are joined, one is empty. */
const listOf = (dynamic: string, of: string): string =>
  `arrayConcat(${element(dynamic, `Array(Nullable(${of}))`)}, ${amongOthers(dynamic, element('x', of), [of])})`
const numberList = (dynamic: string): string => {
  const float = (type: string): string => `arrayMap(x -> toFloat64(x), ${element(dynamic, `Array(Nullable(${type}))`)})`
  const number = `coalesce(${element('x', 'Float64')}, toFloat64(${element('x', 'Int64')}))`
  return `arrayConcat(${float('Float64')}, ${float('Int64')}, ${amongOthers(dynamic, number, ['Float64', 'Int64'])})`
}

/** A list that is stored as one of any kinds, where all of its values are of these; else an empty one. */
function amongOthers(dynamic: string, value: string, kinds: readonly string[]): string {
  const list = element(dynamic, 'Array(Dynamic)')
  const known = ['None', ...kinds].map((kind) => `'${kind}'`).join(', ')
  return `if(arrayAll(x -> dynamicType(x) IN (${known}), ${list}), arrayMap(x -> ${value}, ${list}), [])`
}

function anyText(column: Column & { kind: 'dynamic' }, segments: readonly string[], binder: Binder): string {
  const { value, isObject } = column
  const object = `JSONExtractRaw(body, ${segments.map((name) => binder.bind(name, 'String')).join(', ')})`
  const text = element(value, 'String')
  return `multiIf(isNotNull(${text}), ${text}, isNotNull(${value}), toJSONString(${value}), ${isObject}, ${object}, NULL)`
}

import type { Column, DynamicColumn } from './columns.ts'

/**
 * How a Dynamic's value is taken apart. JSON has one kind of number and ClickHouse three, and an array's type depends on
 * what is in it, so every question about "a number" or "an element" looks at all of them. Each expression here is a plain
 * Bool or Nullable of its type; none throws, whatever stands in the row.
 *
 * The kinds that most values are of come first, in an `if`: ClickHouse works out its other branch for the rows that need
 * it, so that a property which is always a text costs what a String costs.
 */
const INTEGERS = ['Int64', 'UInt64'] as const
const NUMBERS = ['Int64', 'Float64', 'UInt64'] as const

const element = (dynamic: string, type: string): string => `dynamicElement(${dynamic}, '${type}')`
const arrayOf = (dynamic: string, type: string): string => element(dynamic, `Array(Nullable(${type}))`)
const mixedArray = (dynamic: string): string => element(dynamic, 'Array(Dynamic)')

/** A column's values of a type that it may have, as a Nullable of it. */
const elementOf = (column: DynamicColumn, type: string): string => column.scalar ?? element(column.value, type)

/** Whether there may be values of the type. */
const may = ({ seen }: DynamicColumn, type: string): boolean => seen === undefined || seen.has(type)
const mayBeArrayOf = (column: DynamicColumn, type: string): boolean => may(column, `Array(Nullable(${type}))`)
const mayBeMixedArray = ({ seen }: DynamicColumn): boolean =>
  seen === undefined || [...seen].some((type) => type.startsWith('Array(Dynamic'))
const mayBeListed = ({ seen }: DynamicColumn): boolean =>
  seen === undefined || [...seen].some((type) => type.startsWith('Array'))

/** Nullable(Float64). */
export function numberOf(column: Column): string {
  if (column.kind === 'text') return NO_NUMBER
  if (may(column, 'UInt64')) return dynamicNumber(column.value)
  const numbers = [
    ...(may(column, 'Int64') ? [`toFloat64(${elementOf(column, 'Int64')})`] : []),
    ...(may(column, 'Float64') ? [elementOf(column, 'Float64')] : []),
  ]
  if (numbers.length === 0) return NO_NUMBER
  return numbers.length === 1 ? numbers.join('') : `coalesce(${numbers.join(', ')})`
}
const NO_NUMBER = "CAST(NULL, 'Nullable(Float64)')"

/** The same where only the order of numbers matters: Nullable(Int64) where all are whole. */
export const orderedNumberOf = (column: Column): string => {
  const isWhole = column.kind === 'dynamic' && may(column, 'Int64') && !may(column, 'Float64') && !may(column, 'UInt64')
  return isWhole ? elementOf(column, 'Int64') : numberOf(column)
}

/** Past 2^63 there is next to nothing, so that is looked for where nothing else was found. */
const dynamicNumber = (dynamic: string): string => {
  const [integer, float, large] = [element(dynamic, 'Int64'), element(dynamic, 'Float64'), element(dynamic, 'UInt64')]
  const rest = `if(isNotNull(${dynamic}) AND isNull(${integer}) AND isNull(${float}), toFloat64(${large}), NULL)`
  return `coalesce(toFloat64(${integer}), ${float}, ${rest})`
}

/** Nullable(String), or String. */
export function textOf(column: Column): string {
  if (column.kind === 'text') return column.value
  return may(column, 'String') ? elementOf(column, 'String') : "CAST(NULL, 'Nullable(String)')"
}

export function isPresent(column: Column): string {
  if (column.kind === 'text') return 'true'
  const single = scalarOf(column)
  return `(isNotNull(${single === undefined ? column.value : single.value}) OR ${column.isObject})`
}

/** True when the value itself, or any element of an array, passes `test`, a SQL condition over a value of the type. */
export function anyText(column: Column, test: (text: string) => string): string {
  if (column.kind === 'text') return `(${test(column.value)})`
  return whenOf(column, ['String'], test)
}

export function anyNumber(column: Column, test: (number: string) => string): string {
  if (column.kind === 'text') return 'false'
  return whenOf(column, NUMBERS, test, dynamicNumber)
}

export function anyBool(column: Column, test: (bool: string) => string): string {
  if (column.kind === 'text') return 'false'
  return whenOf(column, ['Bool'], test)
}

/** Of values that are scalars of these types their tests, of others whether an element of a list of them passes. */
function whenOf(
  column: DynamicColumn,
  types: readonly string[],
  test: (value: string) => string,
  ofDynamic: (dynamic: string) => string = (x) => element(x, types.join('')),
): string {
  const lists = [
    ...types
      .filter((type) => mayBeArrayOf(column, type))
      .map((type) => someElement(arrayOf(column.value, type), (x) => test(x))),
    ...(mayBeMixedArray(column) ? [someElement(mixedArray(column.value), (x) => test(ofDynamic(x)))] : []),
  ]
  const otherwise = lists.length === 0 ? 'false' : `isNotNull(${column.value}) AND ${anyOf(lists)}`
  const scalars = types.filter((type) => may(column, type)).map((type) => elementOf(column, type))
  if (lists.length === 0 && scalars.length === 1) return isTrue(test(scalars.join('')))
  return isTrue(scalars.reduceRight((rest, value) => `if(isNotNull(${value}), ${test(value)}, ${rest})`, otherwise))
}

/** SQL's unknown becomes false, so that NOT means the complement. */
export const isTrue = (condition: string): string => `ifNull(${condition}, false)`

const anyOf = (conditions: readonly string[]): string => `(${conditions.join(' OR ')})`
const someElement = (array: string, test: (x: string) => string): string =>
  `arrayExists(x -> ${isTrue(test('x'))}, ${array})`

/**
 * A property whose values are all of one type, and no lists: the values themselves, Nullable, and SQL that makes a value's
 * identity of one, see `keysOf`. Undefined for others, and where it is not known.
 */
export function scalarOf(
  column: Column,
): { readonly value: string; readonly keyOf: (value: string) => string } | undefined {
  if (column.kind === 'text' || column.seen === undefined) return undefined
  const [type, ...others] = column.seen
  if (type === undefined || others.length > 0) return undefined
  const value = elementOf(column, type)
  if (type === 'String') return { value, keyOf: textKey }
  return type === 'Int64' || type === 'Bool' ? { value, keyOf: (x) => `toString(${x})` } : undefined
}

const textKey = (text: string): string => `concat('"', ${text})`

/**
 * Array(String): the value's identity, in one text a value, or one an element of an array, each once; empty for null,
 * missing and objects. Texts are their own with a quote before, numbers and booleans as JSON has them, so that 1 and "1"
 * stay apart and 1 and 1.0 do not. `decodeKey` takes them back.
 */
export function keysOf(column: Column): string {
  if (column.kind === 'text') return `[${textKey(column.value)}]`
  const d = column.value
  const text = element(d, 'String')
  const others = [`isNull(${d})`, 'emptyArrayString()', ...scalarBranches(column, (key) => `[${key}]`)]
  const rest = `multiIf(${others.join(', ')}, ${mayBeListed(column) ? listKeys(d) : 'emptyArrayString()'})`
  return may(column, 'String') ? `if(isNotNull(${text}), [${textKey(`assumeNotNull(${text})`)}], ${rest})` : rest
}

/** Array(String): the keys of a list's elements; empty for all else. */
function listKeys(d: string): string {
  const elements = [
    textKeys(arrayOf(d, 'String')),
    ...INTEGERS.map((type) => presentMapped(arrayOf(d, type), (x) => `toString(${x})`)),
    presentMapped(arrayOf(d, 'Float64'), floatText),
    presentMapped(arrayOf(d, 'Bool'), (x) => `toString(${x})`),
    `arrayFilter(x -> x != '', arrayMap(x -> ${scalarKey('x')}, ${mixedArray(d)}))`,
  ]
  return `arrayDistinct(arrayConcat(${elements.join(', ')}))`
}

const SCALARS = [
  ['Int64', (x: string) => `toString(${x})`],
  ['Float64', (x: string) => floatText(x)],
  ['Bool', (x: string) => `toString(${x})`],
  ['UInt64', (x: string) => `toString(${x})`],
] as const

/** Condition and value, by turns, of scalars that are no texts, for a `multiIf`. */
const scalarBranches = (
  column: Pick<DynamicColumn, 'value' | 'seen'>,
  of: (key: string) => string,
): readonly string[] =>
  SCALARS.filter(([type]) => column.seen === undefined || column.seen.has(type)).flatMap(([type, print]) => [
    `isNotNull(${element(column.value, type)})`,
    of(print(`assumeNotNull(${element(column.value, type)})`)),
  ])

/** String: the key of a value that is no array, '' for all else. */
function scalarKey(dynamic: string): string {
  const text = element(dynamic, 'String')
  const branches = [
    `isNotNull(${text})`,
    textKey(`assumeNotNull(${text})`),
    ...scalarBranches({ value: dynamic }, (key) => key),
  ]
  return `multiIf(${branches.join(', ')}, '')`
}

/** Adding zero turns -0 into 0; JSON's 1.0 and 1 print alike already. */
const floatText = (float: string): string => `toString(${float} + 0.)`

const presentMapped = (array: string, print: (x: string) => string): string =>
  `arrayMap(x -> ${print('assumeNotNull(x)')}, arrayFilter(x -> isNotNull(x), ${array}))`
const textKeys = (array: string): string => presentMapped(array, textKey)

/** Begins a row's key that is not simply its text. */
const MARK = '\\x01'

/** What rows are grouped by before their lists are taken apart. */
export interface RowKey {
  /** The same for rows that have the same value, which may be a list. */
  readonly sql: string
  /** From a name of `sql`'s value, Array(String): what `keysOf` gives for the row, or [''] when that is nothing. */
  readonly keysOf: (name: string) => string
  /** From the same, the only one of them; undefined: there may be several. */
  readonly keyOf?: (name: string) => string
}

/**
 * In one text: a text is its own; another scalar's key has a mark before it, what is missing is the mark alone, a list is
 * marked too. Values that are all of one type are their own.
 */
export function rowKeyOf(column: Column): RowKey {
  if (column.kind === 'text') {
    return { sql: column.value, keysOf: (name) => `[${textKey(name)}]`, keyOf: textKey }
  }
  const single = scalarOf(column)
  if (single !== undefined) {
    const keyOf = (name: string): string => `if(isNull(${name}), '', ${single.keyOf(`assumeNotNull(${name})`)})`
    return { sql: single.value, keysOf: (name) => `[${keyOf(name)}]`, keyOf }
  }
  const d = column.value
  const text = element(d, 'String')
  const marked = (key: string): string => `concat('${MARK}', ${key})`
  const others = [`isNull(${d})`, `'${MARK}'`, ...scalarBranches(column, marked)]
  const isPlain = `ifNull(NOT startsWith(${text}, '${MARK}'), false)`
  // A text that begins with the mark is written as a list of one.
  const list = marked(`toString(if(isNull(${text}), ${listKeys(d)}, [${textKey(`assumeNotNull(${text})`)}]))`)
  return {
    sql: `if(${isPlain}, assumeNotNull(${text}), multiIf(${others.join(', ')}, ${list}))`,
    keysOf: keysOfMarked,
  }
}

function keysOfMarked(name: string): string {
  // Only a list is read as one, whichever branches are worked out for a row.
  const list = `CAST(if(startsWith(${name}, '${MARK}['), substring(${name}, 2), '[]'), 'Array(String)')`
  return `multiIf(NOT startsWith(${name}, '${MARK}'), [${textKey(name)}], startsWith(${name}, '${MARK}['), emptyArrayToSingle(${list}), [substring(${name}, 2)])`
}

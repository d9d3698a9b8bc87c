import type { Column } from './columns.ts'

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

/** Nullable(Float64). */
export function numberOf(column: Column): string {
  return column.kind === 'text' ? "CAST(NULL, 'Nullable(Float64)')" : dynamicNumber(column.value)
}

/** Past 2^63 there is next to nothing, so that is looked for where nothing else was found. */
const dynamicNumber = (dynamic: string): string => {
  const [integer, float, large] = [element(dynamic, 'Int64'), element(dynamic, 'Float64'), element(dynamic, 'UInt64')]
  const rest = `if(isNotNull(${dynamic}) AND isNull(${integer}) AND isNull(${float}), toFloat64(${large}), NULL)`
  return `coalesce(toFloat64(${integer}), ${float}, ${rest})`
}

/** Nullable(String), or String. */
export const textOf = (column: Column): string =>
  column.kind === 'text' ? column.value : element(column.value, 'String')

export const isPresent = (column: Column): string =>
  column.kind === 'text' ? 'true' : `(isNotNull(${column.value}) OR ${column.isObject})`

/** True when the value itself, or any element of an array, passes `test`, a SQL condition over a value of the type. */
export function anyText(column: Column, test: (text: string) => string): string {
  if (column.kind === 'text') return `(${test(column.value)})`
  const text = element(column.value, 'String')
  return whenOf(
    column.value,
    [[text, test(text)]],
    [
      someElement(arrayOf(column.value, 'String'), (x) => test(x)),
      someElement(mixedArray(column.value), (x) => test(element(x, 'String'))),
    ],
  )
}

export function anyNumber(column: Column, test: (number: string) => string): string {
  if (column.kind === 'text') return 'false'
  const scalars = NUMBERS.map((type) => element(column.value, type))
  return whenOf(
    column.value,
    scalars.map((number) => [number, test(number)]),
    [
      ...NUMBERS.map((type) => someElement(arrayOf(column.value, type), (x) => test(x))),
      someElement(mixedArray(column.value), (x) => test(dynamicNumber(x))),
    ],
  )
}

export function anyBool(column: Column, test: (bool: string) => string): string {
  if (column.kind === 'text') return 'false'
  const bool = element(column.value, 'Bool')
  return whenOf(
    column.value,
    [[bool, test(bool)]],
    [
      someElement(arrayOf(column.value, 'Bool'), (x) => test(x)),
      someElement(mixedArray(column.value), (x) => test(element(x, 'Bool'))),
    ],
  )
}

/** Of values that are scalars of these kinds their tests, of others whether any of `lists` is true. */
function whenOf(
  dynamic: string,
  scalars: readonly (readonly [value: string, test: string])[],
  lists: readonly string[],
): string {
  const otherwise = `isNotNull(${dynamic}) AND ${anyOf(lists)}`
  const condition = scalars.reduceRight((rest, [value, test]) => `if(isNotNull(${value}), ${test}, ${rest})`, otherwise)
  return isTrue(condition)
}

/** SQL's unknown becomes false, so that NOT means the complement. */
export const isTrue = (condition: string): string => `ifNull(${condition}, false)`

const anyOf = (conditions: readonly string[]): string => `(${conditions.join(' OR ')})`
const someElement = (array: string, test: (x: string) => string): string =>
  `arrayExists(x -> ${isTrue(test('x'))}, ${array})`

/**
 * Array(String): the value's identity, in one text a value, or one an element of an array, each once; empty for null,
 * missing and objects. Texts are their own with a quote before, numbers and booleans as JSON has them, so that 1 and "1"
 * stay apart and 1 and 1.0 do not. `decodeKey` takes them back.
 */
export function keysOf(column: Column): string {
  if (column.kind === 'text') return `[concat('"', ${column.value})]`
  const d = column.value
  const text = element(d, 'String')
  const others = [`isNull(${d})`, 'emptyArrayString()', ...scalarBranches(d, (key) => `[${key}]`)]
  return `if(isNotNull(${text}), [concat('"', assumeNotNull(${text}))], multiIf(${others.join(', ')}, ${listKeys(d)}))`
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
const scalarBranches = (d: string, of: (key: string) => string): readonly string[] =>
  SCALARS.flatMap(([type, print]) => [
    `isNotNull(${element(d, type)})`,
    of(print(`assumeNotNull(${element(d, type)})`)),
  ])

/** String: the key of a value that is no array, '' for all else. */
function scalarKey(dynamic: string): string {
  const text = element(dynamic, 'String')
  const branches = [
    `isNotNull(${text})`,
    `concat('"', assumeNotNull(${text}))`,
    ...scalarBranches(dynamic, (key) => key),
  ]
  return `multiIf(${branches.join(', ')}, '')`
}

/** Adding zero turns -0 into 0; JSON's 1.0 and 1 print alike already. */
const floatText = (float: string): string => `toString(${float} + 0.)`

const presentMapped = (array: string, print: (x: string) => string): string =>
  `arrayMap(x -> ${print('assumeNotNull(x)')}, arrayFilter(x -> isNotNull(x), ${array}))`
const textKeys = (array: string): string => presentMapped(array, (x) => `concat('"', ${x})`)

/** Begins a row's key that is not simply its text. */
const MARK = '\\x01'

/**
 * String: the value of a row in one text, for grouping rows before their lists are taken apart, which `keysOfRowKey` does.
 * A text is its own; another scalar's key has a mark before it, what is missing is the mark alone, a list is marked too.
 */
export function rowKeyOf(column: Column): string {
  if (column.kind === 'text') return column.value
  const d = column.value
  const text = element(d, 'String')
  const marked = (key: string): string => `concat('${MARK}', ${key})`
  const others = [`isNull(${d})`, `'${MARK}'`, ...scalarBranches(d, marked)]
  const isPlain = `ifNull(NOT startsWith(${text}, '${MARK}'), false)`
  // A text that begins with the mark is written as a list of one.
  const list = marked(`toString(if(isNull(${text}), ${listKeys(d)}, [concat('"', assumeNotNull(${text}))]))`)
  return `if(${isPlain}, assumeNotNull(${text}), multiIf(${others.join(', ')}, ${list}))`
}

/** Array(String): what `keysOf` gives for the row, or [''] when that is nothing. */
export function keysOfRowKey(key: string): string {
  // Only a list is read as one, whichever branches are worked out for a row.
  const list = `CAST(if(startsWith(${key}, '${MARK}['), substring(${key}, 2), '[]'), 'Array(String)')`
  return `multiIf(NOT startsWith(${key}, '${MARK}'), [concat('"', ${key})], startsWith(${key}, '${MARK}['), emptyArrayToSingle(${list}), [substring(${key}, 2)])`
}

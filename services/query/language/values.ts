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

const dynamicNumber = (dynamic: string): string => {
  const [integer, float, large] = [element(dynamic, 'Int64'), element(dynamic, 'Float64'), element(dynamic, 'UInt64')]
  return `if(isNotNull(${integer}), toFloat64(${integer}), if(isNotNull(${float}), ${float}, toFloat64(${large})))`
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
  const scalar = scalarKey(d)
  const elements = [
    textKeys(arrayOf(d, 'String')),
    ...INTEGERS.map((type) => presentMapped(arrayOf(d, type), (x) => `toString(${x})`)),
    presentMapped(arrayOf(d, 'Float64'), floatText),
    presentMapped(arrayOf(d, 'Bool'), (x) => `toString(${x})`),
    `arrayFilter(x -> x != '', arrayMap(x -> ${scalarKey('x')}, ${mixedArray(d)}))`,
  ]
  const text = element(d, 'String')
  const other = `if(${scalar} != '', [${scalar}], arrayDistinct(arrayConcat(${elements.join(', ')})))`
  return `if(isNotNull(${text}), [concat('"', assumeNotNull(${text}))], if(isNull(${d}), emptyArrayString(), ${other}))`
}

/** String: the key of a value that is no array, '' for all else. */
function scalarKey(dynamic: string): string {
  const cases = [
    ['String', (x: string) => `concat('"', ${x})`],
    ['Int64', (x: string) => `toString(${x})`],
    ['Float64', floatText],
    ['Bool', (x: string) => `toString(${x})`],
    ['UInt64', (x: string) => `toString(${x})`],
  ] as const
  const branches = cases.map(
    ([type, print]) => `isNotNull(${element(dynamic, type)}), ${print(`assumeNotNull(${element(dynamic, type)})`)}`,
  )
  return `multiIf(${branches.join(', ')}, '')`
}

/** Adding zero turns -0 into 0; JSON's 1.0 and 1 print alike already. */
const floatText = (float: string): string => `toString(${float} + 0.)`

const presentMapped = (array: string, print: (x: string) => string): string =>
  `arrayMap(x -> ${print('assumeNotNull(x)')}, arrayFilter(x -> isNotNull(x), ${array}))`
const textKeys = (array: string): string => presentMapped(array, (x) => `concat('"', ${x})`)

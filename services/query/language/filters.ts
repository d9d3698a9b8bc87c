import type { Filter, Ordering, Scalar } from '../../shared/filters/filter.ts'
import type { Binder } from './bind.ts'
import type { Column, ColumnOf } from './columns.ts'
import { anyBool, anyNumber, anyText, isPresent, isTrue, numberOf, textOf } from './values.ts'

const SIGN: Readonly<Record<Ordering, string>> = { lt: '<', lte: '<=', gt: '>', gte: '>=' }
const METRES_PER_MILE = 1_609.344

/** All of the filters as one SQL condition, never NULL. */
export function compileFilters(filters: readonly Filter[], columnOf: ColumnOf, binder: Binder): string {
  const visit = (filter: Filter): string => {
    switch (filter.kind) {
      case 'equals':
        return equalsAny(columnOf(filter.property), [filter.value], binder)
      case 'in':
        return equalsAny(columnOf(filter.property), filter.values, binder)
      case 'compare':
        return compare(columnOf(filter.property), filter.ordering, filter.value, binder)
      case 'exists':
        return isPresent(columnOf(filter.property))
      case 'contains':
        return contains(columnOf(filter.property), filter.value, binder)
      case 'matches':
        return isTrue(`match(${textOf(columnOf(filter.property))}, ${binder.bind(filter.pattern, 'String')})`)
      case 'within':
        return within(columnOf(filter.property), filter, binder)
      case 'not':
        return `NOT ${visit(filter.filter)}`
      case 'and':
      case 'or':
        return joined(filter.filters.map(visit), filter.kind === 'and' ? 'AND' : 'OR')
      default:
        return filter satisfies never
    }
  }
  return filters.length === 0 ? 'true' : joined(filters.map(visit), 'AND')
}

const joined = (conditions: readonly string[], operator: 'AND' | 'OR'): string =>
  conditions.length === 1 ? conditions.join('') : `(${conditions.join(` ${operator} `)})`

/** The value, or an element of it, is one of these, in type and value. */
function equalsAny(column: Column, values: readonly Scalar[], binder: Binder): string {
  const texts = values.filter((value) => typeof value === 'string')
  const numbers = values.filter((value) => typeof value === 'number')
  const bools = [...new Set(values.filter((value) => typeof value === 'boolean'))]
  const conditions: string[] = []
  if (texts.length > 0) {
    const is = oneOf(texts, 'String', binder)
    conditions.push(anyText(column, is))
  }
  if (numbers.length > 0) {
    const is = oneOf(numbers, 'Float64', binder)
    conditions.push(anyNumber(column, is))
  }
  if (bools.length > 0) conditions.push(...bools.map((value) => anyBool(column, (x) => `${x} = ${String(value)}`)))
  return conditions.length === 0 ? 'false' : joined(conditions, 'OR')
}

function oneOf(values: readonly (string | number)[], type: 'String' | 'Float64', binder: Binder) {
  const bound = values.length === 1 ? binder.bind(values[0], type) : binder.bind(values, `Array(${type})`)
  return values.length === 1 ? (x: string) => `${x} = ${bound}` : (x: string) => `has(${bound}, ${x})`
}

function compare(column: Column, ordering: Ordering, value: string | number, binder: Binder): string {
  return typeof value === 'number'
    ? isTrue(`${numberOf(column)} ${SIGN[ordering]} ${binder.bind(value, 'Float64')}`)
    : isTrue(`${textOf(column)} ${SIGN[ordering]} ${binder.bind(value, 'String')}`)
}

/** A part of a text, or a whole element of an array. */
function contains(column: Column, value: string, binder: Binder): string {
  const bound = binder.bind(value, 'String')
  const inText = isTrue(`position(${textOf(column)}, ${bound}) > 0`)
  return column.kind === 'text' ? inText : `(${inText} OR ${anyText(column, (x) => `${x} = ${bound}`)})`
}

function within(
  column: Column,
  circle: { readonly longitude: number; readonly latitude: number; readonly radiusMiles: number },
  binder: Binder,
): string {
  if (column.kind === 'text') return 'false'
  const at = `${binder.bind(circle.longitude, 'Float64')}, ${binder.bind(circle.latitude, 'Float64')}`
  const radius = binder.bind(circle.radiusMiles * METRES_PER_MILE, 'Float64')
  // Whole degrees are stored as integers, all others as floats.
  const isInside = (type: string): string => {
    const point = `dynamicElement(${column.value}, 'Array(Nullable(${type}))')`
    return isTrue(
      `length(${point}) = 2 AND greatCircleDistance(toFloat64(${point}[1]), toFloat64(${point}[2]), ${at}) <= ${radius}`,
    )
  }
  return `(${isInside('Float64')} OR ${isInside('Int64')})`
}

import type { Property } from '../../shared/filters/filter.ts'
import type { Binder } from './bind.ts'
import { quoteName } from './quote.ts'

/**
 * SQL that gives a property's value in the row at hand. `dynamic`: whatever JSON had there, of ClickHouse's type Dynamic;
 * objects are not values, so `isObject` tells whether one with something in it stands there. `text`: a String.
 */
export type Column = DynamicColumn | { readonly kind: 'text'; readonly value: string }

export interface DynamicColumn {
  readonly kind: 'dynamic'
  readonly value: string
  readonly isObject: string
  /** Left out: it may have any. */
  readonly seen?: SeenTypes
  /** Where all values are of one scalar type, the values as a Nullable of it: less to read than `value`. */
  readonly scalar?: string | undefined
}

/** ClickHouse's names of the types that a property has been seen with. */
export type SeenTypes = ReadonlySet<string>

export type ColumnOf = (property: Property) => Column

/** What a collection's property has been seen with; undefined: not known. */
export type SeenTypesOf = (property: Property) => SeenTypes | undefined

/** Values straight from the table `events`. */
export const tableColumn =
  (binder: Binder): ColumnOf =>
  (property) => {
    switch (property.kind) {
      case 'timestamp':
      case 'created_at':
        return { kind: 'text', value: isoText(property.kind) }
      case 'id':
        return { kind: 'text', value: 'toString(id)' }
      case 'property':
        return dynamicColumn(property.segments, binder)
      default:
        return property satisfies never
    }
  }

/** A DateTime64(3, 'UTC') as it is printed everywhere: 2026-01-02T03:04:05.678Z. As text it sorts like the moment. */
const isoText = (column: string): string => `concat(replaceOne(toString(${column}), ' ', 'T'), 'Z')`

/**
 * Names with a meaning in ClickHouse's sub-column syntax (`^` a sub-object, `:` a type, `[]` an array's elements), and the
 * empty one, which no identifier can be. Quoting does not save all of them.
 */
const hasSyntax = (name: string): boolean => name === '' || /^[\^:]|\[\]$|`/.test(name)

/** Whether it is read where the types of its values are known. */
export const isNatural = (property: Property): boolean =>
  property.kind === 'property' && !property.segments.some(hasSyntax)

function dynamicColumn(segments: readonly string[], binder: Binder): Column {
  if (segments.some(hasSyntax)) return bodyColumn(segments, binder)
  const path = segments.map(quoteName).join('.')
  return {
    kind: 'dynamic',
    value: `properties.${path}`,
    isObject: `notEmpty(JSONAllPaths(properties.^${path}))`,
  }
}

/**
 * The same out of the JSON text, names as parameters: right for every name, and several times as slow. The value is put
 * into a JSON column of its own, because JSONExtract to Dynamic judges an array by its first element.
 */
function bodyColumn(segments: readonly string[], binder: Binder): Column {
  const raw = `JSONExtractRaw(body, ${segments.map((name) => binder.bind(name, 'String')).join(', ')})`
  const alone = `CAST(if(${raw} = '', '{}', concat('{"v":', ${raw}, '}')), 'JSON(max_dynamic_paths=4)')`
  return {
    kind: 'dynamic',
    value: `getSubcolumn(${alone}, 'v')`,
    isObject: `notEmpty(JSONAllPaths(getSubcolumn(${alone}, '^\`v\`')))`,
  }
}

const SCALARS: ReadonlySet<string> = new Set(['String', 'Int64', 'Float64', 'UInt64', 'Bool'])

function onlyScalar(types: SeenTypes | undefined): string | undefined {
  const [type, ...others] = types ?? []
  return type !== undefined && others.length === 0 && SCALARS.has(type) ? type : undefined
}

/** Columns that a SELECT around the events' source wants to have; each is selected once, under a name of ours. */
export interface ColumnList {
  readonly columnOf: ColumnOf
  /** `expression AS name`, in the order of asking. */
  readonly selected: () => readonly string[]
}

/**
 * `prefix` keeps the names of two lists in one SELECT apart. `seen` spares looking for types that no event has; what it leaves
 * out is not found, so that nothing which must not be missed (a key's filters) is to be compiled with it.
 */
export function createColumnList(binder: Binder, prefix = 'c', seen?: SeenTypesOf): ColumnList {
  const ofTable = tableColumn(binder)
  const names = new Map<string, string>()
  const nameOf = (expression: string): string => {
    const known = names.get(expression)
    if (known !== undefined) return known
    const name = `${prefix}${names.size}`
    names.set(expression, name)
    return name
  }
  const columns = new Map<string, Column>()
  return {
    columnOf(property) {
      const known = columns.get(property.name)
      if (known !== undefined) return known
      const inner = ofTable(property)
      const types = isNatural(property) ? seen?.(property) : undefined
      const scalar = onlyScalar(types)
      const column: Column =
        inner.kind === 'text'
          ? { kind: 'text', value: nameOf(inner.value) }
          : {
              kind: 'dynamic',
              // Each is selected only when something looks at it.
              get value() {
                return nameOf(inner.value)
              },
              get isObject() {
                return nameOf(inner.isObject)
              },
              get scalar() {
                return scalar === undefined ? undefined : nameOf(`${inner.value}.:${scalar}`)
              },
              ...(types !== undefined && { seen: types }),
            }
      columns.set(property.name, column)
      return column
    },
    selected: () => [...names].map(([expression, name]) => `${expression} AS ${name}`),
  }
}

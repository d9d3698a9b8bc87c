import { AppError } from '../../shared/errors.ts'
import { parseProperty } from '../../shared/filters/property.ts'
import type { Binder } from './bind.ts'
import type { Column } from './columns.ts'
import type { GroupNode, Range } from './tree.ts'
import { numberOf, rowKeyOf } from './values.ts'

const GROUPS_MAX = 10
const RANGES_MAX = 200

/** A name, an object with buckets or ranges, or an array of these. Throws InvalidGroupByError, InvalidPropertyNameError. */
export function parseGroupBy(value: unknown): readonly GroupNode[] {
  if (value === undefined || value === null || value === '') return []
  const items: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (items.length > GROUPS_MAX) throw invalid(`group_by must name at most ${GROUPS_MAX} properties`)
  const nodes = items.map((item, i) => parseGroup(item, Array.isArray(value) ? `group_by[${i}]` : 'group_by'))
  // A row of the answer carries each property once, so one asked for twice is the same question.
  const byName = new Map(nodes.map((node) => [node.property.name, node]))
  if (nodes.some((node) => byName.get(node.property.name)?.kind !== node.kind)) {
    throw invalid('group_by must not group one property in two ways')
  }
  return [...byName.values()]
}

function parseGroup(item: unknown, field: string): GroupNode {
  if (typeof item === 'string') return { kind: 'value', property: parseProperty(item, field) }
  if (typeof item !== 'object' || item === null || Array.isArray(item)) {
    throw invalid(`${field} must be a property name or an object`)
  }
  const { property_name, buckets, ranges } = item as Readonly<Record<string, unknown>>
  const property = parseProperty(property_name, `${field}.property_name`)
  if (buckets !== undefined && buckets !== null) {
    const { size } = Object(buckets) as Readonly<Record<string, unknown>>
    if (typeof size !== 'number' || !Number.isFinite(size) || size < 1e-9 || size > Number.MAX_SAFE_INTEGER) {
      throw invalid(`${field}.buckets.size must be a number above zero`)
    }
    return { kind: 'buckets', property, size }
  }
  if (ranges === undefined || ranges === null) return { kind: 'value', property }
  if (!Array.isArray(ranges) || ranges.length === 0 || ranges.length > RANGES_MAX) {
    throw invalid(`${field}.ranges must be an array of 1 to ${RANGES_MAX} ranges`)
  }
  return { kind: 'ranges', property, ranges: ranges.map((r: unknown, i) => parseRange(r, `${field}.ranges[${i}]`)) }
}

function parseRange(value: unknown, field: string): Range {
  const { from = null, to = null } = Object(value) as Readonly<Record<string, unknown>>
  if (!isBound(from) || !isBound(to) || (from === null && to === null)) {
    throw invalid(`${field} must have a number as from, as to, or as both`)
  }
  if (from !== null && to !== null && to <= from) throw invalid(`${field}.to must be above from`)
  return { from, to }
}

const isBound = (value: unknown): value is number | null =>
  value === null || (typeof value === 'number' && Number.isFinite(value))

/** SQL for what rows of one group have in common, by which they are brought together. */
export interface CompiledGroup {
  readonly sql: string
  /** From the name of `sql`'s value, the group's key, a String, '' for the null group; undefined: a row may be in several. */
  readonly keyOf?: (name: string) => string
  /** From the same, the keys of the groups that the row is in: Array(String). */
  readonly keysOf: (name: string) => string
}

export function compileGroup(node: GroupNode, column: Column, binder: Binder): CompiledGroup {
  switch (node.kind) {
    case 'value':
      return rowKeyOf(column)
    case 'buckets': {
      const index = `floor(${numberOf(column)} / ${binder.bind(node.size, 'Float64')}) + 0.`
      return ofKey(`ifNull(toString(${index}), '')`)
    }
    case 'ranges': {
      const number = numberOf(column)
      const branches = node.ranges.map((range, i) => `${inRange(number, range, binder)}, '${i}'`)
      return ofKey(`multiIf(${branches.join(', ')}, '')`)
    }
    default:
      return node satisfies never
  }
}

const ofKey = (sql: string): CompiledGroup => ({ sql, keyOf: (name) => name, keysOf: (name) => `[${name}]` })

function inRange(number: string, range: Range, binder: Binder): string {
  const bounds = [
    ...(range.from === null ? [] : [`${number} >= ${binder.bind(range.from, 'Float64')}`]),
    ...(range.to === null ? [] : [`${number} < ${binder.bind(range.to, 'Float64')}`]),
  ]
  return `ifNull(${bounds.join(' AND ')}, false)`
}

const invalid = (message: string): AppError => new AppError('InvalidGroupByError', `${message}.`)

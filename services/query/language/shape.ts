import { AppError } from '../../shared/errors.ts'
import type { Property } from '../../shared/filters/filter.ts'
import type { Reading } from './aggregates.ts'
import { bucketIndex } from './buckets.ts'
import { shapeEvent } from './event.ts'
import { groupValue, type GroupValue } from './group-value.ts'
import { compareScalars, decodeKey, type JsonScalar } from './json-values.ts'
import { type FunnelShape, shapeFunnel } from './funnel/shape.ts'
import type { GroupNode, OrderNode } from './tree.ts'
import { printMoment } from './zone.ts'

export interface AggregateShape {
  readonly kind: 'aggregate'
  /** What was computed, in the order of a row's last columns. One without a label is the whole value. */
  readonly measures: readonly Measure[]
  readonly buckets: { readonly edges: readonly number[]; readonly zone: string } | null
  readonly groupBy: readonly GroupNode[]
  readonly orderBy: readonly OrderNode[]
  readonly limit: number | null
  readonly zeroFill: boolean
}

export interface Measure {
  readonly label: string | null
  readonly reading: Reading
  readonly empty: number | null | readonly never[]
}

export interface ExtractionShape {
  readonly kind: 'extraction'
  readonly properties: readonly Property[] | null
}

export type Shape = AggregateShape | ExtractionShape | FunnelShape

export type Row = readonly unknown[]

type Value = number | null | readonly JsonScalar[]

/** A row of an answer that groups: which group, and what came out. */
interface GroupRow {
  readonly groups: readonly GroupValue[]
  readonly values: readonly Value[]
}

/** Rows of an answer, zero-filled ones included; beyond it an answer is no answer any more. */
const CELLS_MAX = 2_000_000

/** The warehouse's rows as the `result` of the answer. Pure; throws QueryTooLargeError. */
export function shapeResult(shape: Shape, rows: readonly Row[]): unknown {
  if (shape.kind === 'extraction') return rows.map((row) => shapeEvent(row, shape.properties))
  if (shape.kind === 'funnel') return shapeFunnel(shape, rows)
  if (shape.buckets === null) {
    return shape.groupBy.length === 0
      ? ungrouped(shape, rows[0])
      : shapeGroups(
          shape,
          rows.map((row) => ({ groups: groupsOf(shape, row, 0), values: valuesOf(shape, row) })),
        )
  }
  const { edges, zone } = shape.buckets
  const indexOf = bucketIndex(edges)
  const byBucket: Row[][] = Array.from({ length: edges.length - 1 }, () => [])
  for (const row of rows) byBucket[indexOf(Number(row[0]))]?.push(row)
  const timeframes = edges.map((edge) => printMoment(edge, zone))
  const everywhere = shape.groupBy.length > 0 && shape.zeroFill ? groupsByKey(shape, rows) : undefined
  if ((everywhere?.size ?? 0) * byBucket.length > CELLS_MAX) {
    throw new AppError(
      'QueryTooLargeError',
      'The answer has too many groups in too many intervals. Ask for fewer, or set zero_fill to false.',
    )
  }
  return byBucket.map((inBucket, i) => ({
    value:
      shape.groupBy.length === 0
        ? ungrouped(shape, inBucket[0])
        : shapeGroups(shape, groupRows(shape, inBucket, everywhere)),
    timeframe: { start: timeframes[i], end: timeframes[i + 1] },
  }))
}

const valuesOf = (shape: AggregateShape, row: Row): readonly Value[] =>
  shape.measures.map(({ reading }, i) => readValue(row[row.length - shape.measures.length + i], reading))

const emptyValues = (shape: AggregateShape): readonly Value[] => shape.measures.map(({ empty }) => empty)

/** The value of all rows together: a bare one, or one a label. */
function ungrouped(shape: AggregateShape, row: Row | undefined): unknown {
  const values = row === undefined ? emptyValues(shape) : valuesOf(shape, row)
  const [only] = shape.measures
  return only?.label === null ? values[0] : Object.fromEntries(labelled(shape, values))
}

const labelled = (shape: AggregateShape, values: readonly Value[]): readonly (readonly [string, Value])[] =>
  shape.measures.map(({ label }, i) => [label ?? 'result', values[i] ?? null])

/** What stands in one bucket, filled with the groups that other buckets have. */
function groupRows(
  shape: AggregateShape,
  rows: readonly Row[],
  everywhere: ReadonlyMap<string, readonly GroupValue[]> | undefined,
): readonly GroupRow[] {
  if (everywhere === undefined) {
    return rows.map((row) => ({ groups: groupsOf(shape, row, 1), values: valuesOf(shape, row) }))
  }
  const found = new Map(rows.map((row) => [keyOf(shape, row), valuesOf(shape, row)]))
  return [...everywhere].map(([key, groups]) => ({ groups, values: found.get(key) ?? emptyValues(shape) }))
}

function groupsByKey(shape: AggregateShape, rows: readonly Row[]): ReadonlyMap<string, readonly GroupValue[]> {
  const groups = new Map<string, readonly GroupValue[]>()
  for (const row of rows) {
    const key = keyOf(shape, row)
    if (!groups.has(key)) groups.set(key, groupsOf(shape, row, 1))
  }
  return groups
}

const keyOf = (shape: AggregateShape, row: Row): string =>
  JSON.stringify(row.slice(1, row.length - shape.measures.length))

const groupsOf = (shape: AggregateShape, row: Row, offset: number): readonly GroupValue[] =>
  shape.groupBy.map((node, i) => groupValue(node, String(row[offset + i])))

/** Sorted as asked, then by group, so that equal questions get equal answers; cut after that. */
function shapeGroups(shape: AggregateShape, rows: readonly GroupRow[]): readonly unknown[] {
  const sorted = rows.toSorted((a, b) => {
    for (const { by, descending } of shape.orderBy) {
      const order =
        'measure' in by
          ? compareValues(a.values[by.measure] ?? null, b.values[by.measure] ?? null)
          : compareGroup(a, b, by.group)
      if (order !== 0) return descending ? -order : order
    }
    for (const place of shape.groupBy.keys()) {
      const order = compareGroup(a, b, place)
      if (order !== 0) return order
    }
    return 0
  })
  const kept = shape.limit === null ? sorted : sorted.slice(0, shape.limit)
  return kept.map((row) =>
    Object.fromEntries([
      ...shape.groupBy.map((node, i) => [node.property.name, row.groups[i]?.shown ?? null]),
      ...labelled(shape, row.values),
    ]),
  )
}

const compareGroup = (a: GroupRow, b: GroupRow, place: number): number =>
  compareScalars(a.groups[place]?.sortKey ?? null, b.groups[place]?.sortKey ?? null)

/** Lists have no order among themselves. */
const compareValues = (a: Value, b: Value): number =>
  typeof a === 'object' && a !== null ? 0 : typeof b === 'object' && b !== null ? 0 : compareScalars(a, b)

function readValue(value: unknown, reading: Reading): Value {
  if (reading === 'values') {
    return (Array.isArray(value) ? (value as string[]) : []).map(decodeKey).toSorted(compareScalars)
  }
  if (value === null || value === undefined) return null
  // A sum past the range of a double is infinite there; JSON has no word for it.
  const number = Number(value)
  return Number.isFinite(number) ? number : null
}

import type { Column } from './columns.ts'
import type { AggregateKind, AggregateNode } from './tree.ts'
import { keysOf, numberOf } from './values.ts'

/** How an aggregate's value comes back from the warehouse, and how it is shown. */
export type Reading = 'integer' | 'number' | 'values'

export interface Aggregate {
  /** What of the target property a row contributes; null when the rows alone matter. */
  readonly input: ((column: Column) => string) | null
  /** SQL over `v`, the input of a row. */
  readonly sql: (node: AggregateNode) => string
  readonly reading: Reading
  /** The value of no events at all. */
  readonly empty: number | null | readonly never[]
}

const ofNumbers = (sql: Aggregate['sql'], empty: number | null = null): Aggregate => ({
  input: numberOf,
  sql,
  reading: 'number',
  empty,
})

/** One entry an analysis: add it here and to `AggregateKind`, and every shape of query has it. */
export const AGGREGATES: Readonly<Record<AggregateKind, Aggregate>> = {
  count: { input: null, sql: () => 'count()', reading: 'integer', empty: 0 },
  count_unique: {
    input: keysOf,
    sql: (node) => (node.isApproximate ? 'uniqArray(v)' : 'uniqExactArray(v)'),
    reading: 'integer',
    empty: 0,
  },
  select_unique: { input: keysOf, sql: () => 'groupUniqArrayArray(v)', reading: 'values', empty: [] },
  minimum: ofNumbers(() => 'min(v)'),
  maximum: ofNumbers(() => 'max(v)'),
  sum: ofNumbers(() => 'ifNull(sum(v), 0)', 0),
  average: ofNumbers(() => 'avg(v)'),
  standard_deviation: ofNumbers(() => 'stddevPopStable(v)'),
  median: ofNumbers((node) => rank(node, 5_000)),
  percentile: ofNumbers((node) => rank(node, node.percentile ?? 5_000)),
}

/** An estimate may lie between two values; with few of them it is exact all the same. */
const rank = (node: AggregateNode, hundredths: number): string =>
  node.isApproximate ? `quantileTDigest(${(hundredths / 10_000).toFixed(4)})(v)` : nearestRank(hundredths)

/**
 * The smallest value that at least so many hundredths of a percent of the values do not exceed: no value that is not
 * there is ever the answer. `quantileExact(level)` takes the value at index floor(level * n) of the sorted ones, so a
 * level a trifle below the rank's gives index ceil(p * n) - 1: right for up to 10^8 values, as p has four decimals.
 */
function nearestRank(hundredths: number): string {
  const level = Math.max(0, hundredths / 10_000 - 1e-12)
  return `quantileExact(${level.toFixed(13)})(v)`
}

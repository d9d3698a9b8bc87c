import type { Column } from './columns.ts'
import type { AggregateKind, AggregateNode } from './tree.ts'
import { keysOf, numberOf } from './values.ts'

/** How an aggregate's value comes back from the warehouse, and how it is shown. */
export type Reading = 'integer' | 'number' | 'values'

export interface Aggregate {
  /** What of the target property a row contributes; null when the rows alone matter. */
  readonly input: ((column: Column) => string) | null
  /** SQL over the input of a row, which is called `v` there. */
  readonly sql: (node: AggregateNode, v: string) => string
  /** The same in two steps: the state of a part of the rows, and the value of such states, each called `s`. */
  readonly steps: (node: AggregateNode, v: string, s: string) => Steps
  readonly reading: Reading
  /** The value of no events at all. */
  readonly empty: number | null | readonly never[]
}

interface Steps {
  readonly state: string
  readonly merged: string
}

/** An aggregate function of ClickHouse's: its name, its parameters in brackets, and what is done to what comes out. */
interface Call {
  readonly name: string
  readonly parameters?: string
  readonly finish?: (value: string) => string
}

const called = (call: (node: AggregateNode) => Call): Pick<Aggregate, 'sql' | 'steps'> => ({
  sql: (node, v) => {
    const { name, parameters = '', finish = asIs } = call(node)
    return finish(`${name}${parameters}(${v})`)
  },
  steps: (node, v, s) => {
    const { name, parameters = '', finish = asIs } = call(node)
    return { state: `${name}State${parameters}(${v})`, merged: finish(`${name}Merge${parameters}(${s})`) }
  },
})
const asIs = (value: string): string => value

const ofNumbers = (call: (node: AggregateNode) => Call, empty: number | null = null): Aggregate => ({
  input: numberOf,
  ...called(call),
  reading: 'number',
  empty,
})

/** One entry an analysis: add it here and to `AggregateKind`, and every shape of query has it. */
export const AGGREGATES: Readonly<Record<AggregateKind, Aggregate>> = {
  count: { input: null, ...called(() => ({ name: 'count' })), reading: 'integer', empty: 0 },
  count_unique: {
    input: keysOf,
    ...called((node) => ({ name: node.isApproximate ? 'uniqArray' : 'uniqExactArray' })),
    reading: 'integer',
    empty: 0,
  },
  select_unique: { input: keysOf, ...called(() => ({ name: 'groupUniqArrayArray' })), reading: 'values', empty: [] },
  minimum: ofNumbers(() => ({ name: 'min' })),
  maximum: ofNumbers(() => ({ name: 'max' })),
  sum: ofNumbers(() => ({ name: 'sum', finish: (value) => `ifNull(${value}, 0)` }), 0),
  average: ofNumbers(() => ({ name: 'avg' })),
  standard_deviation: ofNumbers(() => ({ name: 'stddevPopStable' })),
  median: ofNumbers((node) => rank(node, 5_000)),
  percentile: ofNumbers((node) => rank(node, node.percentile ?? 5_000)),
}

/** An estimate may lie between two values. */
const rank = (node: AggregateNode, hundredths: number): Call =>
  node.isApproximate
    ? { name: 'quantileTDigest', parameters: `(${(hundredths / 10_000).toFixed(4)})` }
    : nearestRank(hundredths)

/**
 * The smallest value that at least so many hundredths of a percent of the values do not exceed: no value that is not
 * there is ever the answer. `quantileExact(level)` takes the value at index floor(level * n) of the sorted ones, so a
 * level a trifle below the rank's gives index ceil(p * n) - 1: right for up to 10^8 values, as p has four decimals.
 */
function nearestRank(hundredths: number): Call {
  const level = Math.max(0, hundredths / 10_000 - 1e-12)
  return { name: 'quantileExact', parameters: `(${level.toFixed(13)})` }
}

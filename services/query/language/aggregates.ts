import type { Column } from './columns.ts'
import type { AggregateKind, AggregateNode } from './tree.ts'
import { keysOf, numberOf, orderedNumberOf, scalarOf } from './values.ts'

/** How an aggregate's value comes back from the warehouse, and how it is shown. */
export type Reading = 'integer' | 'number' | 'values'

export interface Aggregate {
  /** Whether it is of a property; else the rows alone matter. */
  readonly hasTarget: boolean
  /** How it is computed. `column`: the target's; undefined when there is none. */
  readonly over: (node: AggregateNode, column: Column | undefined) => Call
  readonly reading: Reading
  /** The value of no events at all. */
  readonly empty: number | null | readonly never[]
}

/** An aggregate function of ClickHouse's: its name, its parameters in brackets, and what is done to what comes out. */
interface Call {
  /** What of the target property a row contributes; left out when rows alone matter. */
  readonly input?: string
  readonly name: string
  readonly parameters?: string
  readonly finish?: (value: string) => string
}

const asIs = (value: string): string => value

/** SQL over the input of a row, which is called `v` there. */
export const wholeOf = ({ name, parameters = '', finish = asIs }: Call, v: string): string =>
  finish(`${name}${parameters}(${v})`)

/** The same in two steps: the state of a part of the rows, and the value of such states, each called `s`. */
export const stepsOf = ({ name, parameters = '', finish = asIs }: Call, v: string, s: string) => ({
  state: `${name}State${parameters}(${v})`,
  merged: finish(`${name}Merge${parameters}(${s})`),
})

type Function = Omit<Call, 'input'>

const ofNumbers = (
  call: (node: AggregateNode) => Function,
  { empty = null, input = numberOf }: { readonly empty?: number | null; readonly input?: typeof numberOf } = {},
): Aggregate => ({
  hasTarget: true,
  over: (node, column) => ({ ...call(node), ...(column !== undefined && { input: input(column) }) }),
  reading: 'number',
  empty,
})
const ofOrdered = (call: (node: AggregateNode) => Function): Aggregate => ofNumbers(call, { input: orderedNumberOf })

/** Of a property's different values: `name` is told whether a row has one of them or a list of its keys. */
const ofValues = (
  reading: 'integer' | 'values',
  empty: Aggregate['empty'],
  call: (node: AggregateNode, keyOf: ((value: string) => string) | undefined) => Function,
): Aggregate => ({
  hasTarget: true,
  over(node, column) {
    const single = column === undefined ? undefined : scalarOf(column)
    const input = single?.value ?? (column === undefined ? undefined : keysOf(column))
    return { ...call(node, single?.keyOf), ...(input !== undefined && { input }) }
  },
  reading,
  empty,
})

/** One entry an analysis: add it here and to `AggregateKind`, and every shape of query has it. */
export const AGGREGATES: Readonly<Record<AggregateKind, Aggregate>> = {
  count: { hasTarget: false, over: () => ({ name: 'count' }), reading: 'integer', empty: 0 },
  count_unique: ofValues('integer', 0, ({ isApproximate }, keyOf) => ({
    name: `${isApproximate ? 'uniq' : 'uniqExact'}${keyOf === undefined ? 'Array' : ''}`,
  })),
  select_unique: ofValues('values', [], (_node, keyOf) =>
    keyOf === undefined
      ? { name: 'groupUniqArrayArray' }
      : { name: 'groupUniqArray', finish: (values) => `arrayMap(x -> ${keyOf('x')}, ${values})` },
  ),
  minimum: ofOrdered(() => ({ name: 'min' })),
  maximum: ofOrdered(() => ({ name: 'max' })),
  sum: ofNumbers(() => ({ name: 'sum', finish: (value) => `ifNull(${value}, 0)` }), { empty: 0 }),
  average: ofNumbers(() => ({ name: 'avg' })),
  standard_deviation: ofNumbers(() => ({ name: 'stddevPopStable' })),
  median: ofOrdered((node) => rank(node, 5_000)),
  percentile: ofOrdered((node) => rank(node, node.percentile ?? 5_000)),
}

/** An estimate may lie between two values. */
const rank = (node: AggregateNode, hundredths: number): Function =>
  node.isApproximate
    ? { name: 'quantileTDigest', parameters: `(${(hundredths / 10_000).toFixed(4)})` }
    : nearestRank(hundredths)

/**
 * The smallest value that at least so many hundredths of a percent of the values do not exceed: no value that is not
 * there is ever the answer. `quantileExact(level)` takes the value at index floor(level * n) of the sorted ones, so a
 * level a trifle below the rank's gives index ceil(p * n) - 1: right for up to 10^8 values, as p has four decimals.
 */
function nearestRank(hundredths: number): Function {
  const level = Math.max(0, hundredths / 10_000 - 1e-12)
  return { name: 'quantileExact', parameters: `(${level.toFixed(13)})` }
}

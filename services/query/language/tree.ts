import type { Filter, Property } from '../../shared/filters/filter.ts'

/** What a query says, after parsing and before anything depends on the clock or on the key. Frozen. */
export interface Query {
  readonly analysis: AnalysisNode
  readonly collection: string
  readonly timeframe: TimeframeNode
  /** A name of the tz database or an offset such as +05:30. Only relative timeframes use it. */
  readonly zone: string
  readonly interval: IntervalNode | null
  readonly groupBy: readonly GroupNode[]
  readonly orderBy: readonly OrderNode[]
  readonly limit: number | null
  readonly filters: readonly Filter[]
  readonly zeroFill: boolean
  readonly includeMetadata: boolean
  /** Seconds; null: a result is always asked for anew. A hint, and no part of the question. */
  readonly maxAgeS: number | null
}

/** Analyses that give one value for a set of events. */
export type AggregateKind =
  | 'count'
  | 'count_unique'
  | 'minimum'
  | 'maximum'
  | 'sum'
  | 'average'
  | 'median'
  | 'percentile'
  | 'standard_deviation'
  | 'select_unique'

export interface AggregateNode {
  readonly kind: AggregateKind
  /** Null for count alone. */
  readonly target: Property | null
  /** In hundredths of a percent, 0 to 10,000; null for all but percentile. */
  readonly percentile: number | null
  /** An estimate will do. */
  readonly isApproximate: boolean
}

export interface ExtractionNode {
  readonly kind: 'extraction'
  /** The newest so many events, newest first. Null: all of them, oldest first. */
  readonly latest: number | null
  /** Null: whole events. */
  readonly properties: readonly Property[] | null
}

/** Several aggregates over the same events, each under a label. */
export interface MultiNode {
  readonly kind: 'multi_analysis'
  readonly analyses: readonly { readonly label: string; readonly node: AggregateNode }[]
}

/** How many actors are left after each step. The query's own collection and timeframe are those of the first. */
export interface FunnelNode {
  readonly kind: 'funnel'
  readonly steps: readonly FunnelStep[]
  /** Steps must follow each other in time. `windowMs`: all of them within so long from the first; null is without bound. */
  readonly order: { readonly windowMs: number | null } | null
}

export interface FunnelStep {
  readonly collection: string
  readonly actor: Property
  readonly timeframe: TimeframeNode
  readonly zone: string
  readonly filters: readonly Filter[]
  readonly isInverted: boolean
  readonly isOptional: boolean
  readonly withActors: boolean
  /** The step in the API's words, defaults filled in, to be given back with the answer. */
  readonly asked: Readonly<Record<string, unknown>>
}

export type AnalysisNode = AggregateNode | MultiNode | FunnelNode | ExtractionNode

/** The collections that a query reads, each once. */
export const collectionsOf = ({ analysis, collection }: Query): readonly string[] =>
  analysis.kind === 'funnel' ? [...new Set(analysis.steps.map((step) => step.collection))] : [collection]

export const isExtraction = (query: Query): query is Query & { readonly analysis: ExtractionNode } =>
  query.analysis.kind === 'extraction'

export const UNITS = ['minute', 'hour', 'day', 'week', 'month', 'year'] as const
export type Unit = (typeof UNITS)[number]

export type TimeframeNode =
  /** `previous`: complete units before the current one; `this`: the current one and so many before it. */
  | { readonly kind: 'relative'; readonly base: 'this' | 'previous'; readonly count: number; readonly unit: Unit }
  | {
      readonly kind: 'absolute'
      readonly startMs: number
      readonly endMs: number
      /** As written in `start`; decides calendar edges and how bounds are printed. */
      readonly offsetMinutes: number
    }
  /** Already resolved, and following this zone's calendar; never what a caller wrote. */
  | { readonly kind: 'fixed'; readonly startMs: number; readonly endMs: number; readonly zone: string }

/** `every`: that many units, counted from the start of the timeframe. Null: single units, on calendar edges. */
export interface IntervalNode {
  readonly unit: Unit
  readonly every: number | null
}

export type GroupNode =
  | { readonly kind: 'value'; readonly property: Property }
  | { readonly kind: 'buckets'; readonly property: Property; readonly size: number }
  | { readonly kind: 'ranges'; readonly property: Property; readonly ranges: readonly Range[] }

/** From inclusive, to exclusive; null is without bound. */
export interface Range {
  readonly from: number | null
  readonly to: number | null
}

export interface OrderNode {
  /** A place in `groupBy`, or one among the aggregates. */
  readonly by: { readonly group: number } | { readonly measure: number }
  readonly descending: boolean
}

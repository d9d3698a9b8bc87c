import type { Grant } from '../../shared/registry/grant.ts'
import { AGGREGATES, stepsOf, wholeOf } from './aggregates.ts'
import { createBinder } from './bind.ts'
import { bucketSql } from './buckets.ts'
import { createColumnList, type SeenTypesOf } from './columns.ts'
import { compileExtraction } from './compile-extraction.ts'
import { EXTRACTED_MAX } from './extraction.ts'
import { compileFilters } from './filters.ts'
import { compileFunnel } from './funnel/compile.ts'
import { type CompiledGroup, compileGroup } from './group-by.ts'
import { bucketEdges } from './interval.ts'
import { countProperties } from './looked-at.ts'
import type { Shape } from './shape.ts'
import { countedSource, eventsSource } from './source.ts'
import { rowKeyOf } from './values.ts'
import { resolveTimeframe, type Timeframe } from './timeframe.ts'
import type { AggregateNode, AnalysisNode, ExtractionNode, Query } from './tree.ts'

export interface CompiledQuery {
  readonly sql: string
  readonly params: Readonly<Record<string, unknown>>
  /** How the rows become an answer: see `shapeResult`. */
  readonly shape: Shape
  /** How many different properties the caller's query looks at; those of the key's filters are not the caller's to see. */
  readonly propertyCount: number
}

/** By collection. */
export type SeenTypesIn = (collection: string) => SeenTypesOf | undefined

/**
 * A query as SQL for what this grant may see, asked at `nowMs`. `seen`: what properties are known to be, see
 * `createColumnList`; it changes how long the query takes and not what comes out. `extractedMax`: events of an extraction; one
 * more comes out when there are more. Throws AppErrors with 4xx codes.
 */
export function compileQuery(
  query: Query,
  grant: Grant,
  nowMs: number,
  { seen, extractedMax = EXTRACTED_MAX }: CompileOptions = {},
): CompiledQuery {
  const timeframe = resolveTimeframe(query.timeframe, query.zone, nowMs)
  const propertyCount = countProperties(query)
  const { analysis } = query
  const compiled =
    analysis.kind === 'extraction'
      ? compileWholeExtraction(query, analysis, grant, timeframe, extractedMax)
      : compileAnalysis(query, analysis, grant, timeframe, nowMs, seen)
  return { ...compiled, propertyCount }
}

interface CompileOptions {
  readonly seen?: SeenTypesIn | undefined
  readonly extractedMax?: number
}

function compileAnalysis(
  query: Query,
  analysis: Exclude<AnalysisNode, ExtractionNode>,
  grant: Grant,
  timeframe: Timeframe,
  nowMs: number,
  seen: SeenTypesIn | undefined,
) {
  if (analysis.kind === 'funnel') return compileFunnel(analysis, grant, nowMs, seen)
  const analyses = analysis.kind === 'multi_analysis' ? analysis.analyses : [{ label: null, node: analysis }]
  return compileAggregates(query, analyses, grant, timeframe, seen)
}

/** All of them over one reading of the events. */
function compileAggregates(
  query: Query,
  analyses: readonly { readonly label: string | null; readonly node: AggregateNode }[],
  grant: Grant,
  timeframe: Timeframe,
  seen: SeenTypesIn | undefined,
) {
  const binder = createBinder()
  const columns = createColumnList(binder, 'c', seen?.(query.collection))
  const edges = query.interval === null ? null : bucketEdges(timeframe, query.interval)

  const groups = query.groupBy.map((group) => compileGroup(group, columns.columnOf(group.property), binder))
  const keys = [
    ...(edges === null ? [] : [{ name: 'b', sql: bucketSql('t', edges, binder) }]),
    ...groups.map(({ sql }, i) => ({ name: `g${i}`, sql })),
  ]
  const measures = analyses.map(({ node }, i) => {
    const call = AGGREGATES[node.kind].over(node, node.target === null ? undefined : columns.columnOf(node.target))
    const name = call.input === undefined ? '' : `v${i}`
    const { state, merged } = stepsOf(call, name, `s${i}`)
    return {
      input: call.input === undefined ? [] : [`${call.input} AS ${name}`],
      result: `${wholeOf(call, name)} AS r${i}`,
      direct: `${wholeOf(call, call.input ?? '')} AS r${i}`,
      state: `${state} AS s${i}`,
      merged: `${merged} AS r${i}`,
    }
  })
  const inputs = [...keys.map((key) => `${key.sql} AS ${key.name}`), ...measures.flatMap(({ input }) => input)]
  const where = compileFilters(query.filters, columns.columnOf, binder)
  // All different values at once: rows that are alike are one before any list is taken apart.
  const [{ node: only } = { node: null }, ...others] = analyses
  const isListing = only?.kind === 'select_unique' && keys.length === 0 && others.length === 0
  const listed = isListing ? only.target : null
  const listedKey = listed === null ? undefined : rowKeyOf(columns.columnOf(listed))
  const rowKey = listedKey?.keyOf === undefined ? listedKey : undefined
  const selected = [...(edges === null ? [] : ['timestamp AS t']), ...columns.selected()]
  const isCounted = selected.length === 0 && keys.length === 0 && where === 'true'
  const scope = { collection: query.collection, timeframe }
  const source = isCounted ? countedSource(grant, scope, binder) : eventsSource(grant, scope, selected, binder)
  const names = keys.map((key) => key.name)
  const found = [`FROM ${source}`, ...(where === 'true' ? [] : [`WHERE ${where}`])]
  const rows = [
    `FROM (`,
    ...(rowKey === undefined
      ? [`SELECT ${inputs.length === 0 ? '1' : inputs.join(', ')}`, ...found]
      : [
          `SELECT arrayFilter(x -> x != '', ${rowKey.keysOf('k')}) AS v0`,
          'FROM (',
          `SELECT DISTINCT ${rowKey.sql} AS k`,
          ...found,
          ')',
        ]),
    `)`,
    ...(names.length === 0 ? [] : [`GROUP BY ${names.join(', ')}`]),
  ]
  const sql =
    names.length === 0 && rowKey === undefined
      ? [`SELECT ${measures.map(({ direct }) => direct).join(', ')}`, ...found].join('\n')
      : groups.every(({ keyOf }) => keyOf !== undefined)
        ? groupedOnce(groups, measures, names, rows)
        : groupedTwice(groups, measures, names, rows)
  const shape: Shape = {
    kind: 'aggregate',
    measures: analyses.map(({ label, node: { kind } }) => ({
      label,
      reading: AGGREGATES[kind].reading,
      empty: AGGREGATES[kind].empty,
    })),
    buckets: edges === null ? null : { edges, zone: timeframe.zone },
    groupBy: query.groupBy,
    orderBy: query.orderBy,
    limit: query.limit,
    zeroFill: query.zeroFill,
  }
  return { sql, params: binder.params, shape }
}

/** Every row is in one group. */
function groupedOnce(
  groups: readonly CompiledGroup[],
  measures: readonly { readonly result: string }[],
  names: readonly string[],
  rows: readonly string[],
): string {
  const edges = names.slice(0, names.length - groups.length)
  const keys = groups.map(({ keyOf }, i) => `${keyOf?.(`g${i}`)} AS h${i}`)
  return [`SELECT ${[...edges, ...keys, ...measures.map(({ result }) => result)].join(', ')}`, ...rows].join('\n')
}

/**
 * Rows whose values are alike are brought together first, and lists among these are taken apart afterwards: once for each
 * different list rather than for each row, and nothing at all for values that are no lists.
 */
function groupedTwice(
  groups: readonly CompiledGroup[],
  measures: readonly { readonly state: string; readonly merged: string }[],
  names: readonly string[],
  rows: readonly string[],
): string {
  const edges = names.slice(0, names.length - groups.length)
  const apart = groups.map(({ keysOf }, i) => `arrayJoin(${keysOf(`g${i}`)}) AS h${i}`)
  return [
    `SELECT ${[...edges, ...apart, ...measures.map(({ merged }) => merged)].join(', ')}`,
    `FROM (`,
    `SELECT ${[...names, ...measures.map(({ state }) => state)].join(', ')}`,
    ...rows,
    `)`,
    `GROUP BY ${[...edges, ...groups.map((_, i) => `h${i}`)].join(', ')}`,
  ].join('\n')
}

function compileWholeExtraction(
  query: Query,
  node: ExtractionNode,
  grant: Grant,
  timeframe: Timeframe,
  extractedMax: number,
) {
  // One more than may be had, to see that there is one.
  const bounds = { eventsMax: extractedMax + 1, pathsMax: 0 }
  const { events } = compileExtraction(query, node, grant, timeframe, bounds)
  const shape: Shape = { kind: 'extraction', properties: node.properties }
  return { ...events, shape }
}

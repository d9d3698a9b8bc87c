import { type Filter, type Property, walkFilters } from '../../shared/filters/filter.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { AGGREGATES } from './aggregates.ts'
import { createBinder } from './bind.ts'
import { bucketSql } from './buckets.ts'
import { createColumnList } from './columns.ts'
import { compileExtraction } from './compile-extraction.ts'
import { EXTRACTED_MAX } from './extraction.ts'
import { compileFilters } from './filters.ts'
import { compileFunnel } from './funnel/compile.ts'
import { compileGroup, groupOfRowKey } from './group-by.ts'
import { bucketEdges } from './interval.ts'
import type { Shape } from './shape.ts'
import { eventsSource } from './source.ts'
import { keysOfRowKey, rowKeyOf } from './values.ts'
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

/** A query as SQL for what this grant may see, asked at `nowMs`. Throws AppErrors with 4xx codes. */
export function compileQuery(query: Query, grant: Grant, nowMs: number): CompiledQuery {
  const timeframe = resolveTimeframe(query.timeframe, query.zone, nowMs)
  const propertyCount = countProperties(query)
  return { ...compileAnalysis(query, query.analysis, grant, timeframe, nowMs), propertyCount }
}

function compileAnalysis(query: Query, analysis: AnalysisNode, grant: Grant, timeframe: Timeframe, nowMs: number) {
  if (analysis.kind === 'extraction') return compileWholeExtraction(query, analysis, grant, timeframe)
  if (analysis.kind === 'funnel') return compileFunnel(analysis, grant, nowMs)
  const analyses = analysis.kind === 'multi_analysis' ? analysis.analyses : [{ label: null, node: analysis }]
  return compileAggregates(query, analyses, grant, timeframe)
}

/** All of them over one reading of the events. */
function compileAggregates(
  query: Query,
  analyses: readonly { readonly label: string | null; readonly node: AggregateNode }[],
  grant: Grant,
  timeframe: Timeframe,
) {
  const binder = createBinder()
  const columns = createColumnList(binder)
  const edges = query.interval === null ? null : bucketEdges(timeframe, query.interval)

  const keys = [
    ...(edges === null ? [] : [{ name: 'b', sql: bucketSql('t', edges, binder) }]),
    ...query.groupBy.map((group, i) => ({
      name: `g${i}`,
      sql: compileGroup(group, columns.columnOf(group.property), binder),
    })),
  ]
  const measures = analyses.map(({ node }, i) => {
    const aggregate = AGGREGATES[node.kind]
    const input = node.target === null ? undefined : aggregate.input?.(columns.columnOf(node.target))
    const name = input === undefined ? '' : `v${i}`
    const { state, merged } = aggregate.steps(node, name, `s${i}`)
    return {
      input: input === undefined ? [] : [`${input} AS ${name}`],
      result: `${aggregate.sql(node, name)} AS r${i}`,
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
  const rowKey = listed === null ? undefined : rowKeyOf(columns.columnOf(listed))
  const source = eventsSource(
    grant,
    { collection: query.collection, timeframe },
    [...(edges === null ? [] : ['timestamp AS t']), ...columns.selected()],
    binder,
  )
  const names = keys.map((key) => key.name)
  const found = [`FROM ${source}`, ...(where === 'true' ? [] : [`WHERE ${where}`])]
  const rows = [
    `FROM (`,
    ...(rowKey === undefined
      ? [`SELECT ${inputs.length === 0 ? '1' : inputs.join(', ')}`, ...found]
      : [
          `SELECT arrayFilter(x -> x != '', ${keysOfRowKey('k')}) AS v0`,
          'FROM (',
          `SELECT DISTINCT ${rowKey} AS k`,
          ...found,
          ')',
        ]),
    `)`,
    ...(names.length === 0 ? [] : [`GROUP BY ${names.join(', ')}`]),
  ]
  const sql = query.groupBy.some((group) => group.kind === 'value')
    ? groupedTwice(query, measures, names, rows)
    : [`SELECT ${[...names, ...measures.map(({ result }) => result)].join(', ')}`, ...rows].join('\n')
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

/**
 * Rows whose values are alike are brought together first, and lists among these are taken apart afterwards: once for each
 * different list rather than for each row, and nothing at all for values that are no lists.
 */
function groupedTwice(
  query: Query,
  measures: readonly { readonly state: string; readonly merged: string }[],
  names: readonly string[],
  rows: readonly string[],
): string {
  const edges = names.slice(0, names.length - query.groupBy.length)
  const groups = query.groupBy.map((group, i) => `${groupOfRowKey(group, `g${i}`)} AS h${i}`)
  return [
    `SELECT ${[...edges, ...groups, ...measures.map(({ merged }) => merged)].join(', ')}`,
    `FROM (`,
    `SELECT ${[...names, ...measures.map(({ state }) => state)].join(', ')}`,
    ...rows,
    `)`,
    `GROUP BY ${[...edges, ...query.groupBy.map((_, i) => `h${i}`)].join(', ')}`,
  ].join('\n')
}

function compileWholeExtraction(query: Query, node: ExtractionNode, grant: Grant, timeframe: Timeframe) {
  // One more than may be had, to see that there is one.
  const bounds = { eventsMax: EXTRACTED_MAX + 1, pathsMax: 0 }
  const { events } = compileExtraction(query, node, grant, timeframe, bounds)
  const shape: Shape = { kind: 'extraction', properties: node.properties }
  return { ...events, shape }
}

/** How many different properties the caller's query looks at. */
export function countProperties(query: Query): number {
  const names = new Set(query.groupBy.map((group) => group.property.name))
  const addFiltered = (filters: readonly Filter[]): void => {
    for (const filter of walkFilters(filters)) if ('property' in filter) names.add(filter.property.name)
  }
  addFiltered(query.filters)
  for (const property of analysed(query.analysis)) names.add(property.name)
  if (query.analysis.kind === 'funnel') for (const step of query.analysis.steps) addFiltered(step.filters)
  return names.size
}

function analysed(analysis: AnalysisNode): readonly Property[] {
  if (analysis.kind === 'extraction') return analysis.properties ?? []
  if (analysis.kind === 'funnel') return analysis.steps.map((step) => step.actor)
  const nodes = analysis.kind === 'multi_analysis' ? analysis.analyses.map(({ node }) => node) : [analysis]
  return nodes.flatMap(({ target }) => target ?? [])
}

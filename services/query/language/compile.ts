import { AppError } from '../../shared/errors.ts'
import { walkFilters } from '../../shared/filters/filter.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { AGGREGATES } from './aggregates.ts'
import { type Binder, createBinder } from './bind.ts'
import { bucketSql } from './buckets.ts'
import { createColumnList } from './columns.ts'
import { EXTRACTED_MAX } from './extraction.ts'
import { compileFilters } from './filters.ts'
import { compileGroup } from './group-by.ts'
import { bucketEdges } from './interval.ts'
import type { Shape } from './shape.ts'
import { eventsSource } from './source.ts'
import { resolveTimeframe, type Timeframe } from './timeframe.ts'
import type { AggregateNode, ExtractionNode, Query } from './tree.ts'

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
  return query.analysis.kind === 'extraction'
    ? { ...compileExtraction(query, query.analysis, grant, timeframe), propertyCount }
    : { ...compileAggregate(query, query.analysis, grant, timeframe), propertyCount }
}

function compileAggregate(query: Query, node: AggregateNode, grant: Grant, timeframe: Timeframe) {
  const binder = createBinder()
  const columns = createColumnList(binder)
  const aggregate = AGGREGATES[node.kind]
  const edges = query.interval === null ? null : bucketEdges(timeframe, query.interval)

  const keys = [
    ...(edges === null ? [] : [{ name: 'b', sql: bucketSql('t', edges, binder) }]),
    ...query.groupBy.map((group, i) => ({
      name: `g${i}`,
      sql: compileGroup(group, columns.columnOf(group.property), binder),
    })),
  ]
  const input = node.target === null ? undefined : aggregate.input?.(columns.columnOf(node.target))
  const inputs = [...keys.map((key) => `${key.sql} AS ${key.name}`), ...(input === undefined ? [] : [`${input} AS v`])]
  const where = compileFilters(query.filters, columns.columnOf, binder)
  const source = eventsSource(
    grant,
    { collection: query.collection, timeframe },
    [...(edges === null ? [] : ['timestamp AS t']), ...columns.selected()],
    binder,
  )
  const names = keys.map((key) => key.name)
  const sql = [
    `SELECT ${[...names, `${aggregate.sql(node)} AS result`].join(', ')}`,
    `FROM (`,
    `SELECT ${inputs.length === 0 ? '1' : inputs.join(', ')}`,
    `FROM ${source}`,
    ...(where === 'true' ? [] : [`WHERE ${where}`]),
    `)`,
    ...(names.length === 0 ? [] : [`GROUP BY ${names.join(', ')}`]),
  ].join('\n')
  const shape: Shape = {
    kind: 'aggregate',
    reading: aggregate.reading,
    empty: aggregate.empty,
    buckets: edges === null ? null : { edges, zone: timeframe.zone },
    groupBy: query.groupBy,
    orderBy: query.orderBy,
    limit: query.limit,
    zeroFill: query.zeroFill,
  }
  return { sql, params: binder.params, shape }
}

function compileExtraction(query: Query, node: ExtractionNode, grant: Grant, timeframe: Timeframe) {
  const binder = createBinder()
  const columns = createColumnList(binder)
  const where = compileFilters(query.filters, columns.columnOf, binder)
  const source = eventsSource(
    grant,
    { collection: query.collection, timeframe },
    ['timestamp', 'created_at', 'id', 'body', ...columns.selected()],
    binder,
  )
  const direction = node.latest === null ? 'ASC' : 'DESC'
  const sql = [
    `SELECT toUnixTimestamp64Milli(timestamp) AS t, toUnixTimestamp64Milli(created_at) AS c, toString(id) AS i, body`,
    `FROM ${source}`,
    ...(where === 'true' ? [] : [`WHERE ${where}`]),
    `ORDER BY timestamp ${direction}, id ${direction}`,
    // One more than may be had, to see that there is one.
    `LIMIT ${limit(node.latest ?? EXTRACTED_MAX + 1, binder)}`,
  ].join('\n')
  const shape: Shape = { kind: 'extraction', properties: node.properties }
  return { sql, params: binder.params, shape }
}

const limit = (count: number, binder: Binder): string => binder.bind(count, 'UInt32')

function countProperties(query: Query): number {
  const names = new Set(query.groupBy.map((group) => group.property.name))
  for (const filter of walkFilters(query.filters)) if ('property' in filter) names.add(filter.property.name)
  if (query.analysis.kind === 'extraction')
    for (const property of query.analysis.properties ?? []) names.add(property.name)
  else if (query.analysis.target !== null) names.add(query.analysis.target.name)
  return names.size
}

/** Refuses an extraction that found more events than an answer may hold. */
export function checkExtracted(rowCount: number): void {
  if (rowCount <= EXTRACTED_MAX) return
  throw new AppError(
    'ExtractionTooLargeError',
    `The extraction has more than ${EXTRACTED_MAX} events. Ask for a narrower timeframe, more filters, or latest.`,
  )
}

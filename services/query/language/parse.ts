import { AppError } from '../../shared/errors.ts'
import { walkFilters } from '../../shared/filters/filter.ts'
import { parseFilters } from '../../shared/filters/parse.ts'
import { AGGREGATES } from './aggregates.ts'
import { parseExtraction } from './extraction.ts'
import { parseGroupBy } from './group-by.ts'
import { parseFunnel } from './funnel/parse.ts'
import { parseInterval } from './interval.ts'
import { parseMultiAnalysis } from './multi-analysis.ts'
import { type Fields, parseAggregate, parseCollection, parseFlag } from './parse-aggregate.ts'
import { parseLimit, parseOrderBy } from './order.ts'
import { parseTimeframe } from './timeframe.ts'
import type { AggregateKind, AnalysisNode, Query } from './tree.ts'
import { parseZone } from './zone.ts'

export const ANALYSES = [
  ...(Object.keys(AGGREGATES) as AggregateKind[]),
  'multi_analysis',
  'funnel',
  'extraction',
] as const
export type AnalysisName = (typeof ANALYSES)[number]
export const isAnalysis = (name: string): name is AnalysisName => (ANALYSES as readonly string[]).includes(name)

export type { Fields }

/** A request as a tree, or an AppError with a 4xx code whose message names the field. Fields that mean nothing here are ignored. */
export function parseQuery(name: AnalysisName, fields: Fields): Query {
  if (name === 'funnel') return frozen(parseFunnelQuery(fields))
  const collection = parseCollection(fields['event_collection'])
  const timeframe = parseTimeframe(fields['timeframe'])
  const filters = parseFilters(absentIfEmpty(fields['filters']))
  const common = {
    collection,
    timeframe,
    zone: parseZone(fields['timezone']),
    filters,
    ...parseAnswering(fields),
  }
  if (name === 'extraction') {
    return frozen({
      ...common,
      analysis: parseExtraction(fields),
      ...UNGROUPED,
    })
  }
  const groupBy = parseGroupBy(fields['group_by'])
  if (groupBy.length > 0 && [...walkFilters(filters)].some((filter) => filter.kind === 'within')) {
    throw new AppError('InvalidFilterError', 'filters with the operator within cannot be combined with group_by.')
  }
  const analysis = name === 'multi_analysis' ? parseMultiAnalysis(fields, groupBy) : parseAggregate(name, fields)
  const results = analysis.kind === 'multi_analysis' ? analysis.analyses.map(({ label }) => label) : undefined
  const orderBy = parseOrderBy(fields['order_by'], groupBy, results)
  return frozen({
    ...common,
    analysis,
    interval: parseInterval(fields['interval']),
    groupBy,
    orderBy,
    limit: parseLimit(fields['limit'], orderBy),
    zeroFill: parseFlag(fields['zero_fill'], 'zero_fill', true),
  })
}

const UNGROUPED = { interval: null, groupBy: [], orderBy: [], limit: null, zeroFill: true } as const

const parseAnswering = (fields: Fields): Pick<Query, 'includeMetadata' | 'maxAgeS'> => ({
  includeMetadata: parseFlag(fields['include_metadata'], 'include_metadata', false),
  maxAgeS: parseMaxAge(fields['max_age']),
})

function parseFunnelQuery(fields: Fields): Query {
  const analysis = parseFunnel(fields)
  const [{ collection, timeframe, zone }] = analysis.steps
  return { analysis, collection, timeframe, zone, filters: [], ...UNGROUPED, ...parseAnswering(fields) }
}

function parseMaxAge(value: unknown): number | null {
  if (value === undefined || value === null || value === '') return null
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
  throw new AppError('InvalidRequestFieldError', 'max_age must be a number of seconds.')
}

const absentIfEmpty = (value: unknown): unknown => (value === '' ? undefined : value)

function frozen<T extends { readonly analysis: AnalysisNode }>(query: T): T {
  freezeAll(query)
  return query
}

function freezeAll(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return
  Object.freeze(value)
  for (const inner of Object.values(value)) freezeAll(inner)
}

import { AppError } from '../../shared/errors.ts'
import { walkFilters } from '../../shared/filters/filter.ts'
import { parseFilters } from '../../shared/filters/parse.ts'
import { parseProperty } from '../../shared/filters/property.ts'
import { AGGREGATES } from './aggregates.ts'
import { parseExtraction } from './extraction.ts'
import { parseGroupBy } from './group-by.ts'
import { parseInterval } from './interval.ts'
import { parseLimit, parseOrderBy } from './order.ts'
import { parseTimeframe } from './timeframe.ts'
import type { AggregateKind, AggregateNode, AnalysisNode, Query } from './tree.ts'
import { parseZone } from './zone.ts'

export const ANALYSES = [...(Object.keys(AGGREGATES) as AggregateKind[]), 'extraction'] as const
export type AnalysisName = (typeof ANALYSES)[number]
export const isAnalysis = (name: string): name is AnalysisName => (ANALYSES as readonly string[]).includes(name)

const COLLECTION_CHARS_MAX = 256

/** Values of a request by name: a POST's JSON body, or a GET's parameters after `decodeParameters`. */
export type Fields = Readonly<Record<string, unknown>>

/** A request as a tree, or an AppError with a 4xx code whose message names the field. Fields that mean nothing here are ignored. */
export function parseQuery(name: AnalysisName, fields: Fields): Query {
  const collection = parseCollection(fields['event_collection'])
  const timeframe = parseTimeframe(fields['timeframe'])
  const filters = parseFilters(absentIfEmpty(fields['filters']))
  const common = {
    collection,
    timeframe,
    zone: parseZone(fields['timezone']),
    filters,
    includeMetadata: parseFlag(fields['include_metadata'], 'include_metadata', false),
    maxAgeS: parseMaxAge(fields['max_age']),
  }
  if (name === 'extraction') {
    return frozen({
      ...common,
      analysis: parseExtraction(fields),
      interval: null,
      groupBy: [],
      orderBy: [],
      limit: null,
      zeroFill: true,
    })
  }
  const groupBy = parseGroupBy(fields['group_by'])
  if (groupBy.length > 0 && [...walkFilters(filters)].some((filter) => filter.kind === 'within')) {
    throw new AppError('InvalidFilterError', 'filters with the operator within cannot be combined with group_by.')
  }
  const orderBy = parseOrderBy(fields['order_by'], groupBy)
  return frozen({
    ...common,
    analysis: parseAggregate(name, fields),
    interval: parseInterval(fields['interval']),
    groupBy,
    orderBy,
    limit: parseLimit(fields['limit'], orderBy),
    zeroFill: parseFlag(fields['zero_fill'], 'zero_fill', true),
  })
}

function parseCollection(value: unknown): string {
  const name = requiredField(value, 'event_collection')
  if (typeof name !== 'string' || name.length > COLLECTION_CHARS_MAX) {
    throw new AppError('InvalidRequestFieldError', 'event_collection must be the name of a collection.')
  }
  return name
}

function parseAggregate(kind: AggregateKind, fields: Fields): AggregateNode {
  if (AGGREGATES[kind].input === null) return { kind, target: null, percentile: null, isApproximate: false }
  const isApproximate = parseFlag(fields['approximate'], 'approximate', false)
  const target = parseProperty(requiredField(fields['target_property'], 'target_property'), 'target_property')
  return {
    kind,
    target,
    percentile: kind === 'percentile' ? parsePercentile(fields['percentile']) : null,
    isApproximate,
  }
}

function parsePercentile(value: unknown): number {
  const percentile = requiredField(value, 'percentile')
  const hundredths = typeof percentile === 'number' ? Math.round(percentile * 100) : Number.NaN
  // 99.99 * 100 is not quite 9999 in binary: what is written with two decimals is a whole number of hundredths.
  if (!(hundredths >= 0 && hundredths <= 10_000) || hundredths / 100 !== percentile) {
    throw new AppError('InvalidPercentileError', 'percentile must be a number from 0 to 100 with at most two decimals.')
  }
  return hundredths
}

function parseMaxAge(value: unknown): number | null {
  if (value === undefined || value === null || value === '') return null
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
  throw new AppError('InvalidRequestFieldError', 'max_age must be a number of seconds.')
}

function requiredField(value: unknown, field: string): unknown {
  if (value !== undefined && value !== null && value !== '') return value
  throw new AppError('MissingRequiredRequestFieldError', `${field} is required.`)
}

function parseFlag(value: unknown, field: string, absent: boolean): boolean {
  if (value === undefined || value === null || value === '') return absent
  if (typeof value === 'boolean') return value
  throw new AppError('InvalidRequestFieldError', `${field} must be true or false.`)
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

import { AppError } from '../../shared/errors.ts'
import { parseProperty } from '../../shared/filters/property.ts'
import type { Definition } from '../../shared/registry/model.ts'
import { bucketEdges } from '../language/interval.ts'
import { type Fields, isAnalysis, parseQuery } from '../language/parse.ts'
import { resolveTimeframe } from '../language/timeframe.ts'
import type { IntervalNode, Query } from '../language/tree.ts'

/** A dataset as it is kept: checked, with lists where callers may write a bare value. */
export interface Dataset {
  readonly displayName: string
  /** Names of 1 to 3 properties. */
  readonly indexBy: readonly string[]
  /** As callers write it, only with the fields that mean something to a dataset. */
  readonly query: Fields
}

export type IndexValue = string | number | boolean
/** One value for each index property, in the definition's order. */
export type IndexValues = readonly IndexValue[]
export type IntervalQuery = Query & { readonly interval: IntervalNode }

const DISPLAY_NAME_CHARS_MAX = 256
const INDEX_PROPERTIES_MAX = 3
const QUERY_FIELDS = [
  'analysis_type',
  'event_collection',
  'target_property',
  'percentile',
  'approximate',
  'analyses',
  'filters',
  'timeframe',
  'timezone',
  'interval',
  'group_by',
] as const
const REFUSED_FIELDS = ['order_by', 'limit'] as const

/** A PUT's body, checked as asked at `nowMs`. Throws AppErrors with status 400 whose message names the field. */
export function parseDataset(body: Fields, nowMs: number): Dataset {
  const displayName = required(body['display_name'], 'display_name')
  if (typeof displayName !== 'string' || displayName.length > DISPLAY_NAME_CHARS_MAX) {
    throw wrong(`display_name must be a string of at most ${DISPLAY_NAME_CHARS_MAX} characters`)
  }
  const indexBy = parseIndexBy(required(body['index_by'], 'index_by'))
  const given = required(body['query'], 'query')
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw wrong('query must be an object')
  const dataset = { displayName, indexBy, query: keptFields(given as Fields) }
  checkQuery(dataset, nowMs)
  return dataset
}

function parseIndexBy(value: unknown): readonly string[] {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (names.length === 0 || names.length > INDEX_PROPERTIES_MAX) {
    throw wrong(`index_by must name 1 to ${INDEX_PROPERTIES_MAX} properties`)
  }
  const parsed = names.map((name) => parseProperty(name, 'index_by').name)
  if (new Set(parsed).size !== parsed.length) throw wrong('index_by must not name a property twice')
  return parsed
}

function keptFields(given: Fields): Fields {
  for (const field of REFUSED_FIELDS) {
    if ((given[field] ?? null) !== null) throw wrong(`query.${field} is not for datasets`)
  }
  const kept = Object.fromEntries(
    QUERY_FIELDS.flatMap((field) => ((given[field] ?? null) === null ? [] : [[field, given[field]]])),
  )
  const groupBy = kept['group_by']
  return groupBy === undefined ? kept : { ...kept, group_by: Array.isArray(groupBy) ? groupBy : [groupBy] }
}

function checkQuery(dataset: Dataset, nowMs: number): void {
  const { query, indexBy } = dataset
  if (typeof required(query['timeframe'], 'query.timeframe') !== 'string') {
    throw new AppError('InvalidTimeframeError', 'query.timeframe must be relative, such as this_500_days.')
  }
  // With values in the index's place: what is too much together with them is refused now rather than at each read.
  const parsed = queryFor(
    dataset,
    indexBy.map(() => ''),
  )
  const repeated = parsed.groupBy.find(({ property }) => indexBy.includes(property.name))
  if (repeated !== undefined) throw wrong('index_by must not repeat a property of query.group_by')
  bucketEdges(resolveTimeframe(parsed.timeframe, parsed.zone, nowMs), parsed.interval)
}

/** What the same question is without the dataset: its query, for events whose index properties have these values. */
export function queryFor(dataset: Dataset, values: IndexValues): IntervalQuery {
  return queryWith(
    dataset,
    dataset.indexBy.map((property_name, i) => ({ property_name, operator: 'eq', property_value: values[i] })),
  )
}

/** The question for all index values at once: it groups by them, before all others. */
export function indexedQuery(dataset: Dataset): IntervalQuery {
  const query = queryWith(dataset, [])
  const index = dataset.indexBy.map((name) => ({ kind: 'value', property: parseProperty(name, 'index_by') }) as const)
  return { ...query, groupBy: [...index, ...query.groupBy] }
}

function queryWith({ query }: Dataset, more: readonly Fields[]): IntervalQuery {
  const name = required(query['analysis_type'], 'query.analysis_type')
  if (typeof name !== 'string' || !isAnalysis(name) || name === 'extraction' || name === 'funnel') {
    throw wrong('query.analysis_type must be an analysis with values by interval, not a funnel or an extraction')
  }
  const filters = query['filters'] ?? []
  if (!Array.isArray(filters)) throw new AppError('InvalidFilterError', 'query.filters must be an array.')
  const parsed = parseQuery(name, { ...query, filters: [...(filters as readonly unknown[]), ...more] })
  const { interval } = parsed
  if (interval === null) throw new AppError('MissingRequiredRequestFieldError', 'query.interval is required.')
  return { ...parsed, interval }
}

export const datasetValue = ({ displayName, indexBy, query }: Dataset): Readonly<Record<string, unknown>> => ({
  display_name: displayName,
  index_by: indexBy,
  query,
})

/** What `datasetValue` made. */
export function datasetOf({ value }: Definition): Dataset {
  const { display_name, index_by, query } = value as {
    readonly display_name: string
    readonly index_by: readonly string[]
    readonly query: Fields
  }
  return { displayName: display_name, indexBy: index_by, query }
}

/** `BootstrappingFailed`: there is no result yet; `Warn`: there is, but the last refresh failed. */
export type DatasetStatus = 'Created' | 'OK' | 'BootstrappingFailed' | 'Warn'

/** How far a dataset has been computed. Where it has not been, it is answered from the events themselves. */
export interface Freshness {
  readonly status: DatasetStatus
  readonly ranAtMs: number | null
  /** What was loaded up to then is in the results. */
  readonly freshAtMs: number
}

/** A definition as callers get it. */
export function datasetView(definition: Definition, organizationId: string, freshness: Freshness, nowMs: number) {
  const { displayName, indexBy, query } = datasetOf(definition)
  const { status, ranAtMs, freshAtMs } = freshness
  return {
    project_id: definition.projectId,
    organization_id: organizationId,
    dataset_name: definition.name,
    display_name: displayName,
    query: { project_id: definition.projectId, timezone: 'UTC', group_by: [], filters: [], ...viewOfQuery(query) },
    index_by: indexBy,
    status,
    last_scheduled_date: ranAtMs === null ? null : new Date(ranAtMs).toISOString(),
    latest_subtimeframe_available: new Date(freshAtMs).toISOString(),
    milliseconds_behind: Math.max(0, nowMs - freshAtMs),
  }
}

/** Java's SDK casts a percentile to a string. */
function viewOfQuery(query: Fields): Fields {
  const shown = (fields: Fields): Fields =>
    typeof fields['percentile'] === 'number' ? { ...fields, percentile: String(fields['percentile']) } : fields
  const analyses = query['analyses']
  if (typeof analyses !== 'object' || analyses === null) return shown(query)
  const labelled = Object.entries(analyses as Readonly<Record<string, Fields>>).map(
    ([label, fields]) => [label, { target_property: null, ...shown(fields) }] as const,
  )
  return { ...shown(query), analyses: Object.fromEntries(labelled) }
}

function required(value: unknown, field: string): unknown {
  if (value !== undefined && value !== null && value !== '') return value
  throw new AppError('MissingRequiredRequestFieldError', `${field} is required.`)
}

const wrong = (problem: string): AppError => new AppError('InvalidRequestFieldError', `${problem}.`)

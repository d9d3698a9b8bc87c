import { AppError } from '../../shared/errors.ts'
import type { Definition } from '../../shared/registry/model.ts'
import type { Fields } from '../language/parse.ts'
import type { SavedSettings } from '../settings.ts'
import { parseQuestion } from './question.ts'
import type { LastRun } from '../refresh/runs.ts'

/** What stands in a definition's `value`. */
export interface SavedQuery {
  /** As it was sent, less what has no place in it; complete: what an analysis knows and was not sent is null. */
  readonly query: Fields
  /** Seconds; 0: not cached. */
  readonly refreshRateS: number
  /** The author's; nobody here looks into it. */
  readonly metadata: unknown
  /** Outlives a new name. */
  readonly createdAtMs: number
}

const NAME = /^[A-Za-z0-9_-]{1,256}$/
const QUERY_BYTES_MAX = 64 * 1_024
const METADATA_BYTES_MAX = 128 * 1_024

/** What all analyses know, and what some know besides. Clients read these without asking whether they are there. */
const COMMON = [
  'event_collection',
  'timeframe',
  'timezone',
  'filters',
  'interval',
  'group_by',
  'order_by',
  'limit',
] as const
const OF_ANALYSIS: Readonly<Record<string, readonly string[]>> = {
  count: COMMON,
  percentile: [...COMMON, 'target_property', 'percentile'],
  extraction: ['event_collection', 'timeframe', 'timezone', 'filters', 'latest', 'property_names', 'group_by'],
  funnel: ['steps', 'timeframe', 'timezone', 'group_by'],
  multi_analysis: ['analyses', ...COMMON],
}
const OF_TARGETED = [...COMMON, 'target_property']
/** A key must not be kept in clear, and nothing is sent to anybody by a saved query. */
const LEFT_OUT: ReadonlySet<string> = new Set(['api_key', 'email', 'email_address', 'async'])

/** Throws InvalidQueryNameError. */
export function requireName(name: unknown, field: string): string {
  if (typeof name === 'string' && NAME.test(name)) return name
  throw new AppError('InvalidQueryNameError', `${field} must have 1 to 256 letters, digits, _ and - only.`)
}

/**
 * The body of a PUT, which replaces all. What only the server says (`urls`, dates, `run_information`) may stand in it and
 * means nothing; null is the same as not there. Throws errors that name the field.
 */
export function parseSavedQuery(
  body: Fields,
  settings: SavedSettings,
): Pick<SavedQuery, 'query' | 'refreshRateS' | 'metadata'> {
  const query = body['query'] ?? null
  if (query === null) throw new AppError('MissingRequiredRequestFieldError', 'query is required.')
  if (typeof query !== 'object' || Array.isArray(query)) {
    throw new AppError('InvalidRequestFieldError', 'query must be an object.')
  }
  const sent = query as Fields
  requireSize(sent, 'query', QUERY_BYTES_MAX)
  const { analysisType } = parseQuestion(sent)
  const metadata = body['metadata'] ?? null
  requireSize(metadata, 'metadata', METADATA_BYTES_MAX)
  return {
    query: completed(sent, analysisType),
    refreshRateS: parseRefreshRate(body['refresh_rate'], settings),
    metadata,
  }
}

function completed(sent: Fields, analysisType: string): Fields {
  const known = OF_ANALYSIS[analysisType] ?? OF_TARGETED
  const kept = Object.entries(sent).filter(([name]) => !LEFT_OUT.has(name))
  const query = Object.fromEntries([...known.map((name): [string, unknown] => [name, null]), ...kept])
  const { group_by: groupBy } = query
  const isNothing = groupBy === undefined || groupBy === null || groupBy === ''
  // Never a bare name: clients made for Java take an array or null, and fail on anything else.
  return { ...query, analysis_type: analysisType, group_by: isNothing ? null : [groupBy].flat() }
}

function parseRefreshRate(value: unknown, { refreshMinS, refreshMaxS }: SavedSettings): number {
  if (value === undefined || value === null || value === '') return 0
  const rate = typeof value === 'string' && /^\d{1,7}$/.test(value) ? Number(value) : value
  if (rate === 0) return 0
  if (typeof rate === 'number' && Number.isInteger(rate) && rate >= refreshMinS && rate <= refreshMaxS) return rate
  throw new AppError(
    'InvalidRefreshRateError',
    `refresh_rate must be 0, or whole seconds from ${refreshMinS} to ${refreshMaxS}.`,
  )
}

function requireSize(value: unknown, field: string, bytesMax: number): void {
  if (Buffer.byteLength(JSON.stringify(value)) <= bytesMax) return
  throw new AppError('InvalidRequestFieldError', `${field} must have at most ${bytesMax} bytes as JSON.`)
}

/** As it goes into the control topic. */
export const valueOf = (saved: SavedQuery): Readonly<Record<string, unknown>> => ({
  query: saved.query,
  refresh_rate: saved.refreshRateS,
  metadata: saved.metadata,
  created_at_ms: saved.createdAtMs,
})

/** What `valueOf` wrote. A field that a version of another time left out is what it means not to say it. */
export function savedQueryOf(definition: Definition): SavedQuery {
  const { query, refresh_rate: rate, metadata, created_at_ms: createdAtMs } = definition.value
  return {
    query: typeof query === 'object' && query !== null && !Array.isArray(query) ? (query as Fields) : {},
    refreshRateS: typeof rate === 'number' ? rate : 0,
    metadata: metadata ?? null,
    createdAtMs: typeof createdAtMs === 'number' ? createdAtMs : definition.createdAtMs,
  }
}

/** The definition as clients read it, every field there. */
export function shownQuery(definition: Definition, lastRun: LastRun | undefined): Readonly<Record<string, unknown>> {
  const saved = savedQueryOf(definition)
  const url = `/3.0/projects/${definition.projectId}/queries/saved/${definition.name}`
  return {
    query_name: definition.name,
    refresh_rate: saved.refreshRateS,
    query: saved.query,
    metadata: saved.metadata,
    created_date: recorded(saved.createdAtMs),
    last_modified_date: recorded(definition.changedAtMs),
    user_last_modified_date: recorded(definition.changedAtMs),
    run_information: lastRun === undefined ? null : shownRun(lastRun),
    urls: { cached_query_url: url, cached_query_results_url: `${url}/result` },
  }
}

const shownRun = (run: LastRun) => ({
  last_run_date: recorded(run.ranAtMs),
  last_run_status: run.isGood ? 'success' : 'failed',
  /** Seconds. */
  last_run_duration: run.durationMs / 1_000,
  last_run_message: run.isGood ? null : run.message,
})

/** `2017-05-09T21:28:12.408000+00:00`, the form that clients were made for. */
const recorded = (ms: number): string => new Date(ms).toISOString().replace('Z', '000+00:00')

import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { AppError, hasCode } from '../shared/errors.ts'
import type { Grant } from '../shared/registry/grant.ts'
import type { ReadLimits, ReadResult, Warehouse } from '../shared/warehouse/port.ts'
import { createBinder } from './language/bind.ts'
import { checkExtracted, type CompiledQuery, compileQuery } from './language/compile.ts'
import { shapeResult } from './language/shape.ts'
import { collectionProbe } from './language/source.ts'
import type { Query } from './language/tree.ts'
import type { QuerySettings } from './settings.ts'

export interface QueryRunnerDeps {
  readonly warehouse: Warehouse
  readonly settings: Pick<QuerySettings, 'limits'>
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export interface Answer {
  readonly result: unknown
  readonly execution_metadata?: {
    readonly events_scanned: number
    readonly properties_per_event: number
    readonly total_properties_scanned: number
    readonly total_processing_time: number
  }
}

export interface QueryRun {
  readonly answer: Answer
  readonly rowsRead: number
}

export type QueryRunner = (query: Query, grant: Grant, signal: AbortSignal) => Promise<QueryRun>

/** Events that an extraction within one answer may go through; `latest` stops by itself. */
const EXTRACTION_SCAN_MAX = 1_000_000
const KNOWN_COLLECTIONS_MAX = 10_000
/** Deleting a collection is rare, and a query on one just deleted may as well find nothing as no collection. */
const KNOWN_COLLECTION_MS = 60_000

/**
 * Runs parsed queries against the warehouse under the limits of the key's kind. Rejects with the API's errors:
 * ResourceNotFoundError for a collection that has never had an event, QueryTooLargeError, ExtractionTooLargeError,
 * QueryTimeoutError, InvalidFilterError for a pattern that RE2 refuses; with the signal's reason when it aborts.
 */
export function createQueryRunner(deps: QueryRunnerDeps): QueryRunner {
  const { warehouse, settings, now } = deps
  const known = new LRUCache<string, true>({ max: KNOWN_COLLECTIONS_MAX, ttl: KNOWN_COLLECTION_MS })

  const read = async (
    statement: Pick<CompiledQuery, 'sql' | 'params'>,
    limits: ReadLimits,
    signal: AbortSignal,
  ): Promise<ReadResult> =>
    warehouse.read({ sql: statement.sql, params: statement.params, limits, queryId: randomUUID(), signal })

  const requireCollection = async (grant: Grant, collection: string, limits: ReadLimits, signal: AbortSignal) => {
    const key = `${grant.projectId}/${collection}`
    if (known.has(key)) return
    const binder = createBinder()
    const sql = collectionProbe(grant, collection, binder)
    // The probe stops at the first row it meets; how many rows the collection has does not matter.
    const { rows } = await read({ sql, params: binder.params }, { ...limits, rowsToRead: 0 }, signal)
    if (rows.length === 0) throw new AppError('ResourceNotFoundError', 'Resource not found: event_collection.')
    known.set(key, true)
  }

  return async (query, grant, signal) => {
    const limits = limitsOf(query, settings.limits[grant.kind])
    const compiled = compileQuery(query, grant, now())
    await requireCollection(grant, query.collection, limits, signal)
    const found = await read(compiled, limits, signal).catch((error: unknown) => {
      throw explained(error, query)
    })
    if (query.analysis.kind === 'extraction') checkExtracted(found.rows.length)
    const result = shapeResult(compiled.shape, found.rows)
    const answer = query.includeMetadata ? { result, execution_metadata: metadata(compiled, found) } : { result }
    return { answer, rowsRead: found.rowsRead }
  }
}

const isWholeExtraction = (query: Query): boolean =>
  query.analysis.kind === 'extraction' && query.analysis.latest === null

const limitsOf = (query: Query, limits: ReadLimits): ReadLimits =>
  isWholeExtraction(query) ? { ...limits, rowsToRead: Math.min(limits.rowsToRead, EXTRACTION_SCAN_MAX) } : limits

/** The warehouse's refusals that have a name of their own for callers. */
function explained(error: unknown, query: Query): unknown {
  if (hasCode(error, 'QueryTooLargeError') && query.analysis.kind === 'extraction') {
    return new AppError('ExtractionTooLargeError', `${error.message} Ask for a narrower timeframe, or latest.`, {
      cause: error,
    })
  }
  if (hasCode(error, 'WAREHOUSE_REJECTED') && error.details['clickhouseType'] === 'CANNOT_COMPILE_REGEXP') {
    return new AppError('InvalidFilterError', 'A filter’s regex is not a valid RE2 pattern.', { cause: error })
  }
  return error
}

const metadata = (compiled: CompiledQuery, read: ReadResult) => ({
  events_scanned: read.rowsRead,
  properties_per_event: compiled.propertyCount,
  total_properties_scanned: read.rowsRead * compiled.propertyCount,
  total_processing_time: read.elapsedS,
})

import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { AppError } from '../shared/errors.ts'
import type { Grant } from '../shared/registry/grant.ts'
import type { ReadLimits, ReadResult, Warehouse } from '../shared/warehouse/port.ts'
import { createBinder } from './language/bind.ts'
import { explainedError } from './explained-error.ts'
import { type CompiledQuery, compileQuery, type SeenTypesIn } from './language/compile.ts'
import { checkExtracted } from './language/extraction.ts'
import { countProperties } from './language/looked-at.ts'
import { type Shape, shapeResult } from './language/shape.ts'
import { collectionProbe } from './language/source.ts'
import { collectionsOf, type Query } from './language/tree.ts'
import type { ResultCache } from './result-cache.ts'
import type { QuerySettings } from './settings.ts'
import { createWithTypes, type WithTypes } from './with-types.ts'

export interface QueryRunnerDeps {
  readonly warehouse: Warehouse
  readonly limitsOf: (grant: Grant) => ReadLimits
  readonly settings: Pick<QuerySettings, 'extraction'>
  readonly results: ResultCache
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

export interface QueryRows {
  readonly rows: ReadResult['rows']
  readonly shape: Shape
  readonly rowsRead: number
}

export type RunQuery = (query: Query, grant: Grant, signal: AbortSignal) => Promise<QueryRun>

export interface QueryRunner extends RunQuery {
  /**
   * For a result that is kept for long. The catalogue, which makes others fast, hears of an event's properties a moment after
   * the event is stored: an answer in between misses a value of a type that is new, and the next answer has it.
   */
  readonly toKeep: RunQuery
  /** The rows of such a result before they become an answer, and what makes one of them. Rejects as the query does. */
  readonly rowsToKeep: (query: Query, grant: Grant, signal: AbortSignal) => Promise<QueryRows>
  /** Rejects with ResourceNotFoundError for a collection that has never had an event. */
  readonly requireCollection: (
    grant: Grant,
    collection: string,
    limits: ReadLimits,
    signal: AbortSignal,
  ) => Promise<void>
}

const KNOWN_COLLECTIONS_MAX = 10_000
/** Deleting a collection is rare, and a query on one just deleted may as well find nothing as no collection. */
const KNOWN_COLLECTION_MS = 60_000

/**
 * Runs parsed queries against the warehouse under the limits of the key's kind. Rejects with the API's errors:
 * ResourceNotFoundError for a collection that has never had an event, QueryTooLargeError, ExtractionTooLargeError,
 * QueryTimeoutError, InvalidFilterError for a pattern that RE2 refuses; with the signal's reason when it aborts.
 */
export function createQueryRunner(deps: QueryRunnerDeps): QueryRunner {
  const { warehouse, now, results } = deps
  const { extraction } = deps.settings
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

  const withTypes = createWithTypes(warehouse)
  const withoutTypes: WithTypes = async (_query, _projectId, ask) => ask(undefined)

  const asked = async (query: Query, grant: Grant, signal: AbortSignal, isKept: boolean) => {
    const limits = extractionLimits(query, deps.limitsOf(grant), extraction.scannedMax)
    const nowMs = now()
    for (const collection of collectionsOf(query)) await requireCollection(grant, collection, limits, signal)
    const ask = async (seen: SeenTypesIn | undefined) => {
      const compiled = compileQuery(query, grant, nowMs, { seen, extractedMax: extraction.eventsMax })
      return { compiled, found: await read(compiled, limits, signal) }
    }
    return (isKept ? withoutTypes : withTypes)(query, grant.projectId, ask, signal).catch((error: unknown) => {
      throw explainedError(error, query)
    })
  }

  const run = async (query: Query, grant: Grant, signal: AbortSignal, isKept = false): Promise<QueryRun> => {
    const known = results.get(query, grant)
    if (known !== undefined) return answered(query, known.result, countProperties(query), { rowsRead: 0, elapsedS: 0 })
    const keep = results.asking(query, grant)
    const { compiled, found } = await asked(query, grant, signal, isKept || query.maxAgeS !== null)
    if (query.analysis.kind === 'extraction') {
      checkExtracted(Math.max(found.rows.length, query.analysis.latest ?? 0), extraction.eventsMax, '')
    }
    const result = shapeResult(compiled.shape, found.rows)
    keep(result)
    return answered(query, result, compiled.propertyCount, found)
  }
  return Object.assign(async (query: Query, grant: Grant, signal: AbortSignal) => run(query, grant, signal), {
    requireCollection,
    toKeep: async (query: Query, grant: Grant, signal: AbortSignal) => run(query, grant, signal, true),
    rowsToKeep: async (query: Query, grant: Grant, signal: AbortSignal): Promise<QueryRows> => {
      const { compiled, found } = await asked(query, grant, signal, true)
      return { rows: found.rows, shape: compiled.shape, rowsRead: found.rowsRead }
    },
  })
}

const answered = (
  query: Query,
  result: unknown,
  propertyCount: number,
  read: Pick<ReadResult, 'rowsRead' | 'elapsedS'>,
): QueryRun => ({
  answer: query.includeMetadata ? { result, execution_metadata: metadata(propertyCount, read) } : { result },
  rowsRead: read.rowsRead,
})

const isWholeExtraction = (query: Query): boolean =>
  query.analysis.kind === 'extraction' && query.analysis.latest === null

/** `latest` stops by itself. */
const extractionLimits = (query: Query, limits: ReadLimits, scannedMax: number): ReadLimits =>
  isWholeExtraction(query) ? { ...limits, rowsToRead: Math.min(limits.rowsToRead, scannedMax) } : limits

const metadata = (propertyCount: number, read: Pick<ReadResult, 'rowsRead' | 'elapsedS'>) => ({
  events_scanned: read.rowsRead,
  properties_per_event: propertyCount,
  total_properties_scanned: read.rowsRead * propertyCount,
  total_processing_time: read.elapsedS,
})

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import { AppError } from '../shared/errors.ts'
import { bodyOf } from '../shared/http/body.ts'
import { parseJson } from '../shared/http/json.ts'
import { presentedKey } from '../shared/http/presented-key.ts'
import type { Authenticator, Grant } from '../shared/registry/grant.ts'
import type { Definitions } from '../shared/registry/definitions.ts'
import type { Permission } from '../shared/registry/model.ts'
import type { Logger } from '../shared/telemetry/logger.ts'
import type { ReadLimits, Warehouse } from '../shared/warehouse/port.ts'
import { type Catalogue, createCatalogue } from './catalogue.ts'
import type { Fields } from './language/parse.ts'
import { createJobs, type Jobs } from './extraction/jobs.ts'
import type { ExtractionFiles } from './extraction/files.ts'
import { type Links, linksUnder } from './extraction/link.ts'
import { QueryLimits } from './key-limits.ts'
import { createQueryMeters, outcomeOf } from './meters.ts'
import type { ExtractDeps } from './extraction/extract.ts'
import { createResultCache, type ResultCache } from './result-cache.ts'
import { createQueryRunner, type QueryRunner } from './run-query.ts'
import type { QuerySettings } from './settings.ts'
import { Turns } from './turns.ts'

export interface QueryDeps {
  readonly warehouse: Warehouse
  readonly authenticator: Authenticator
  readonly definitions: Definitions
  readonly metrics: Registry
  readonly settings: QuerySettings
  /** Milliseconds since 1970: what relative timeframes count from. */
  readonly now: () => number
  readonly logger: Logger
  /** Left out: no extractions to files. */
  readonly extractions?: ExtractionPlace
}

export interface ExtractionPlace {
  readonly files: ExtractionFiles
  /** No other process has these files. */
  readonly isSole: boolean
  /** The deployment's. */
  readonly secret: string
}

/** What all routes of the query service share. */
export interface QueryContext extends QueryDeps {
  readonly runQuery: QueryRunner
  /** What one query under a grant may cost. */
  readonly limitsOf: (grant: Grant) => ReadLimits
  /** Results that may be reused; what deletes events calls its `forget`. */
  readonly results: ResultCache
  readonly extractDeps: ExtractDeps
  readonly catalogue: Catalogue
  /** Extractions to files, and the links to them; undefined where there is no place for files. */
  readonly fileExtractions: { readonly jobs: Jobs; readonly links: Links } | undefined
  /** The grant of the request's key. Throws KeyNotAuthorizedError when the key does not permit this. */
  authorize(request: FastifyRequest, projectId: string, permission: Permission): Grant
  /**
   * Does `work` when it is its turn, and counts it under `name` by how it ended. Rejects with RateLimitExceededError when
   * the key asked too much, QueryConcurrencyLimitError when no turn comes; `signal` is the caller's going away.
   */
  inTurn<T>(name: string, grant: Grant, signal: AbortSignal, work: () => Promise<Counted<T>>): Promise<T>
  /** The same of work that needs something first, such as the query: what is wrong with that waits for no turn. */
  inTurn<T, P>(
    name: string,
    grant: Grant,
    signal: AbortSignal,
    work: (prepared: P) => Promise<Counted<T>>,
    prepare: () => P,
  ): Promise<T>
}

export interface Counted<T> {
  readonly answer: T
  /** In the warehouse. */
  readonly rowsRead: number
}

export function createQueryContext(deps: QueryDeps): QueryContext {
  const turns = new Turns(deps.settings)
  const keyLimits = new QueryLimits(deps.settings.keyLimits, deps.metrics)
  const limitsOf = (grant: Grant): ReadLimits => keyLimits.read(deps.settings.limits, grant)
  const meters = createQueryMeters(deps.metrics, turns)
  const results = createResultCache(deps.settings.cacheBytesMax)
  const runQuery = createQueryRunner({ ...deps, results, limitsOf })
  const extractDeps = { warehouse: deps.warehouse, now: deps.now, requireCollection: runQuery.requireCollection }
  const place = deps.extractions
  return {
    ...deps,
    results,
    limitsOf,
    runQuery,
    extractDeps,
    catalogue: createCatalogue(deps.warehouse, deps.settings.catalogue),
    fileExtractions: place && {
      jobs: createJobs({ ...deps, limitsOf, files: place.files, isSole: place.isSole, extract: extractDeps }),
      links: linksUnder(place.secret),
    },
    authorize(request, projectId, permission) {
      const grant = deps.authenticator.authenticate(projectId, presentedKey(request))
      if (grant.permitted.has(permission)) return grant
      throw new AppError('KeyNotAuthorizedError', `This key does not permit ${permission}.`)
    },
    async inTurn<T, P>(
      name: string,
      grant: Grant,
      signal: AbortSignal,
      work: (prepared: P) => Promise<Counted<T>>,
      prepare?: () => P,
    ) {
      const startedMs = performance.now()
      const done = (outcome: Parameters<typeof meters.observe>[1]): void =>
        meters.observe(name, outcome, (performance.now() - startedMs) / 1_000)
      try {
        const leave = keyLimits.enter(name, grant)
        try {
          const prepared = prepare?.() as P
          const { answer, rowsRead } = await turns.run(grant.projectId, signal, async () => work(prepared))
          meters.rowsRead(rowsRead)
          done('answered')
          return answer
        } finally {
          leave()
        }
      } catch (error) {
        done(outcomeOf(error, signal))
        if (!signal.aborted) throw error
        deps.logger.info({ query: name, keyId: grant.keyId }, 'query stopped: its caller went away')
        throw new AppError('ServiceUnavailableError', 'The caller went away.', { cause: error })
      }
    },
  }
}

/** Aborts when the connection closes before the answer was sent. */
export function callerGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  const { raw } = reply
  if (raw.destroyed) controller.abort()
  else raw.once('close', () => (raw.writableFinished ? undefined : controller.abort()))
  return controller.signal
}

export function parametersOf(url: string): URLSearchParams {
  const start = url.indexOf('?')
  return new URLSearchParams(start === -1 ? '' : url.slice(start + 1))
}

/** The body as a JSON object. Throws InvalidJSONError, InvalidRequestError. */
export function bodyFields(request: FastifyRequest): Fields {
  const body = parseJson(bodyOf(request))
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Fields
  throw new AppError('InvalidRequestError', 'The body must be a JSON object.')
}

import { createHash, randomBytes } from 'node:crypto'
import type { Registry } from 'prom-client'
import { AppError } from '../../shared/errors.ts'
import { errorAnswer } from '../../shared/http/error-answer.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import type { ExtractionNode, Query } from '../language/tree.ts'
import type { ReadLimits } from '../../shared/warehouse/port.ts'
import type { QuerySettings } from '../settings.ts'
import type { Delivery } from './delivery.ts'
import { beginExtraction, type Extraction, type ExtractDeps } from './extract.ts'
import type { ExtractionFiles, ExtractionJob } from './files.ts'
import { createJobMeters } from './job-meters.ts'
import { byAge, isOpen, isSilent, lost, sweepFiles } from './sweep.ts'

export interface JobsDeps {
  readonly files: ExtractionFiles
  readonly extract: ExtractDeps
  readonly settings: Pick<QuerySettings, 'extraction'>
  readonly limitsOf: (grant: Grant) => ReadLimits
  readonly metrics: Registry
  readonly logger: Logger
  readonly now: () => number
  /** Nobody else has this place for files: a job found unfinished at the start has been left by a process that died. */
  readonly isSole: boolean
}

export interface JobRequest {
  readonly query: Query & { readonly analysis: ExtractionNode }
  readonly grant: Grant
  readonly delivery: Delivery
  /** The grant of the same key when the job begins; throws when there is none any more. */
  readonly grantNow: () => Grant
}

/**
 * Extractions to files.
 *
 *   waiting -> running -> done -> gone (expired, removed, or the oldest when files take too much room)
 *         \        \----> failed ---^
 *          \--------------^
 *
 * At most so many run in this process, in the order of asking; those that wait are bounded too. A job whose process died
 * is failed: at the next start when nobody else has the place, else once it has not been heard of for a minute.
 */
export interface Jobs {
  /** Resolves once the job is kept. Rejects with QueryConcurrencyLimitError, ResourceNotFoundError (collection). */
  submit(request: JobRequest): Promise<ExtractionJob>
  /** What this grant made, newest first; all of the project under its master key. */
  list(grant: Grant): Promise<readonly ExtractionJob[]>
  /** Rejects with ResourceNotFoundError for a job that is not there or is another key's. */
  get(grant: Grant, id: string): Promise<ExtractionJob>
  /** Stops it if it runs, and removes it and its file. Rejects as `get`. */
  remove(grant: Grant, id: string): Promise<ExtractionJob>
  /** Ends what runs; those jobs are failed. */
  close(): Promise<void>
}

const WAITING_MAX = 100
const WAITING_OF_PROJECT_MAX = 20
const KEPT_OF_PROJECT_MAX = 1_000
const HEARTBEAT_MS = 10_000
const SWEEP_MS = 600_000

interface Live {
  job: ExtractionJob
  readonly request: JobRequest
  readonly stop: AbortController
  ended: Promise<void>
  /** Writes of the record, one after the other. */
  written: Promise<void>
}

/** Of a key and of which rows it sees: when its filters change, it is another. */
export const seenBy = (grant: Grant): string =>
  createHash('sha256')
    .update(JSON.stringify([grant.projectId, grant.keyId, grant.rowFilters]))
    .digest('hex')

const notFound = (): AppError => new AppError('ResourceNotFoundError', 'Resource not found: extraction.')

export function createJobs(deps: JobsDeps): Jobs {
  const { files, settings, logger, now } = deps
  const { extraction: bounds } = settings
  const live = new Map<string, Live>()
  const waiting: Live[] = []
  let running = 0
  let isClosed = false
  const meters = createJobMeters(deps.metrics, { running: () => running, waiting: () => waiting.length })

  const put = async (at: Live, change: Partial<ExtractionJob>): Promise<void> => {
    // What is shown is what is kept: a state is there for callers once it is on the disk.
    const write = async (): Promise<void> => {
      const changed = { ...at.job, ...change, aliveAtMs: now() }
      await files.put(changed)
      at.job = changed
    }
    const written = at.written.then(write, write)
    at.written = written
    await written
  }
  const sweep = async (reservedBytes: number, isFirst = false): Promise<void> =>
    sweepFiles(files, {
      nowMs: now(),
      bytesMax: bounds.filesBytesMax,
      reservedBytes,
      isOwn: ({ id }) => live.has(id),
      isFirst: isFirst && deps.isSole,
    })

  const run = async (at: Live): Promise<void> => {
    const { query, grant, delivery, grantNow } = at.request
    const { signal } = at.stop
    let extraction: Extraction | undefined
    const beat = setInterval(() => {
      put(at, { events: extraction?.events() ?? 0 }).catch(() => undefined)
    }, HEARTBEAT_MS)
    try {
      signal.throwIfAborted()
      // Under what the key saw when it asked, unless that is not what it sees now.
      if (seenBy(grantNow()) !== at.job.seenBy) {
        throw new AppError('KeyNotAuthorizedError', 'The key was changed before the job began.')
      }
      await put(at, { state: 'running', startedAtMs: now() })
      await sweep(bounds.jobBytesMax * running)
      extraction = await beginExtraction(
        { ...deps.extract, now: () => at.job.createdAtMs },
        query,
        grant,
        delivery.format,
        {
          limits: { ...deps.limitsOf(grant), executionS: bounds.jobSeconds },
          eventsMax: bounds.jobEventsMax,
          bytesMax: bounds.jobBytesMax,
          advice: '',
        },
        signal,
      )
      const bytes = await files.write(at.job, extraction.text, { gzip: delivery.gzip, signal })
      clearInterval(beat)
      await put(at, {
        state: 'done',
        endedAtMs: now(),
        expiresAtMs: now() + bounds.keptMs,
        events: extraction.events(),
        bytes,
      })
      meters.ended('done')
    } catch (error) {
      clearInterval(beat)
      extraction?.close()
      await end(at, error, extraction?.events() ?? 0)
    } finally {
      clearInterval(beat)
    }
  }

  const end = async (at: Live, error: unknown, events: number): Promise<void> => {
    const { projectId, id } = at.job
    if (at.stop.signal.aborted) {
      meters.ended(isClosed ? 'stopped' : 'removed')
      if (isClosed) await put(at, { ...lost(at.job, now()), events }).catch(() => undefined)
      return
    }
    meters.ended('failed')
    const { body, isFault } = errorAnswer(error, id)
    if (isFault) logger.error({ job: id, projectId, err: error }, 'extraction to a file failed')
    else logger.info({ job: id, projectId, error: body.error_code }, 'extraction to a file failed')
    const failed = {
      state: 'failed',
      endedAtMs: now(),
      error: { code: body.error_code, message: body.message },
    } as const
    await put(at, { ...failed, events }).catch((cause: unknown) => {
      logger.error({ job: id, projectId, err: cause }, 'the end of an extraction could not be written')
    })
  }

  const next = (): void => {
    while (running < bounds.jobsRunningMax) {
      const at = waiting.shift()
      if (at === undefined) return
      running++
      at.ended = run(at).finally(() => {
        running--
        live.delete(at.job.id)
        next()
      })
      // `run` has told of what went wrong.
      at.ended.catch(() => undefined)
    }
  }

  const maySee = (grant: Grant, job: ExtractionJob): boolean =>
    job.projectId === grant.projectId && (grant.kind === 'master' || job.seenBy === seenBy(grant))
  /** As it is now: what this process knows of its own, and what time has made of others. */
  const current = (job: ExtractionJob): ExtractionJob => {
    const own = live.get(job.id)
    if (own !== undefined) return own.job
    return isOpen(job) && isSilent(job, now()) ? lost(job, job.aliveAtMs) : job
  }
  const get = async (grant: Grant, id: string): Promise<ExtractionJob> => {
    const job = await files.get({ projectId: grant.projectId, id })
    if (job === undefined || !maySee(grant, job) || job.expiresAtMs <= now()) throw notFound()
    return current(job)
  }

  const beatWaiting = setInterval(() => {
    for (const at of waiting) put(at, {}).catch(() => undefined)
  }, HEARTBEAT_MS).unref()
  const sweeping = (isStart: boolean): void => {
    sweep(0, isStart).catch((error: unknown) => logger.warn({ err: error }, 'extraction files could not be swept'))
  }
  const sweeper = setInterval(() => sweeping(false), SWEEP_MS).unref()
  sweeping(true)

  return {
    get,
    async submit(request) {
      const { projectId } = request.grant
      const own = waiting.filter(({ job }) => job.projectId === projectId).length
      if (isClosed || waiting.length >= WAITING_MAX || own >= WAITING_OF_PROJECT_MAX) {
        throw new AppError('QueryConcurrencyLimitError', 'Too many extractions are waiting.', { retryAfterS: 60 })
      }
      const limits = deps.limitsOf(request.grant)
      await deps.extract.requireCollection(request.grant, request.query.collection, limits, NEVER)
      const at = now()
      const job: ExtractionJob = {
        id: randomBytes(16).toString('hex'),
        projectId,
        keyId: request.grant.keyId,
        seenBy: seenBy(request.grant),
        collection: request.query.collection,
        format: request.delivery.format,
        gzip: request.delivery.gzip,
        state: 'waiting',
        createdAtMs: at,
        startedAtMs: null,
        endedAtMs: null,
        expiresAtMs: at + bounds.keptMs,
        aliveAtMs: at,
        events: 0,
        bytes: 0,
        error: null,
      }
      const kept = (await files.list(projectId)).filter((known) => !isOpen(known)).toSorted(byAge)
      for (const old of kept.slice(0, Math.max(0, kept.length - KEPT_OF_PROJECT_MAX + 1))) await files.remove(old)
      await files.put(job)
      const entry: Live = {
        job,
        request,
        stop: new AbortController(),
        ended: Promise.resolve(),
        written: Promise.resolve(),
      }
      live.set(job.id, entry)
      waiting.push(entry)
      next()
      return job
    },
    async list(grant) {
      const jobs = await files.list(grant.projectId)
      return jobs
        .filter((job) => maySee(grant, job) && job.expiresAtMs > now())
        .map(current)
        .toSorted((a, b) => byAge(b, a))
    },
    async remove(grant, id) {
      const job = await get(grant, id)
      const own = live.get(id)
      if (own !== undefined) {
        own.stop.abort()
        const place = waiting.indexOf(own)
        if (place !== -1) {
          waiting.splice(place, 1)
          live.delete(id)
          meters.ended('removed')
        }
        await own.ended.catch(() => undefined)
      }
      await own?.written.catch(() => undefined)
      await files.remove(job)
      return job
    },
    async close() {
      isClosed = true
      clearInterval(beatWaiting)
      clearInterval(sweeper)
      const left = waiting.splice(0)
      for (const at of live.values()) at.stop.abort()
      await Promise.allSettled([...live.values()].map(({ ended }) => ended))
      await Promise.allSettled(left.map(async (at) => end(at, undefined, 0)))
    },
  }
}

const NEVER = new AbortController().signal

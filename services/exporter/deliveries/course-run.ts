import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { AppError, hasCode } from '../../shared/errors.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import type { Columns, DeliveredFile, DeliveryPlan } from '../domain/delivery.ts'
import { formatOf } from '../formats/index.ts'
import { carryOut, type CarryOutDeps } from './carry-out.ts'
import type { ColumnCatalogue } from './column-catalogue.ts'
import type { DeliveryFailure } from './metrics.ts'
import { decide, finish, type Position, readPosition } from './position.ts'
import type { Course, CourseState, Streams } from './stream.ts'
import { oldestOf, survey } from './survey.ts'

export interface CourseDeps extends Omit<CarryOutDeps, 'sending'> {
  readonly streams: Streams
  /** Undefined where there is no warehouse to ask. */
  readonly catalogue: ColumnCatalogue | undefined
  readonly sending: { readonly healthy: CarryOutDeps['sending']; readonly failed: CarryOutDeps['sending'] }
  /** Resolves while the share of work that the course belongs to is this process's. */
  readonly confirm: () => Promise<void>
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** What arrived is in the archive after this time, an outage aside. */
const ARCHIVED_AFTER_MS = 900_000

/** So that a stream without events does not go through the archive from its start after each restart. */
const LOOKED_MAX = 500

/**
 * Delivers one course, delivery by delivery, until `signal` aborts or it is done. A failure never ends it: it is told, and
 * tried again later, each time after a longer wait.
 */
export class CourseRun {
  readonly #deps: CourseDeps
  readonly #course: Course
  #position: Position | undefined
  #bucket: Bucket | undefined
  /** Of the running plan, by collection. */
  readonly #delivered = new Map<string, readonly DeliveredFile[]>()
  #failures = 0
  /** When the oldest event that is not delivered was written to the log; undefined when none was found. */
  #oldestMs: number | undefined
  #hasEnded = false
  #state: CourseState

  constructor(deps: CourseDeps, course: Course) {
    this.#deps = deps
    this.#course = course
    this.#state = {
      state: 'running',
      since: new Date(deps.now()).toISOString(),
      reason: null,
      message: null,
      sequence: 0,
      last_file: null,
      last_delivered_at: null,
      lag_seconds: 0,
      events: 0,
      files: 0,
      bytes: 0,
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      let isDue = true
      while (!signal.aborted && this.#state.state !== 'done') {
        if (!isDue) await this.#untilDue(signal)
        if (signal.aborted) return
        isDue = await this.#attempt(signal)
      }
    } finally {
      await this.#close()
      const { project, stream, course } = this.#course
      if (course === 'main') this.#deps.metrics.lag.remove({ project, stream })
      this.#hasEnded = true
    }
  }

  get state(): CourseState {
    return this.#state
  }

  /** One delivery, if there is something to deliver; true when there is more. */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    try {
      const hasMore = await this.#deliverNext(signal)
      this.#failures = 0
      return hasMore
    } catch (error) {
      if (signal.aborted || hasCode(error, 'LOG_FENCED')) return false
      await this.#failed(error, signal)
      return true
    }
  }

  async #deliverNext(signal: AbortSignal): Promise<boolean> {
    const { archive, readManifest, settings, confirm, now } = this.#deps
    const course = this.#course
    await confirm()
    this.#position ??= await this.#takeUp(signal)
    let { plan, isDone } = this.#position
    let isFull = false
    // What was decided on earlier did not come through then, and more has come since.
    const isLate = !isDone
    if (isDone) {
      const found = await survey(archive, readManifest, course, plan?.cursor ?? {}, settings.deliveryBytesMax, signal)
      isFull = found.isFull
      this.#oldestMs = found.oldestMs
      if (found.manifests.length === 0 && found.looked < LOOKED_MAX) {
        this.#settle(this.#isOver(isFull) ? { state: 'done' } : {})
        return false
      }
      const { project, stream, layout, span } = course
      const sequence = (plan?.sequence ?? 0) + 1
      const { manifests, cursor } = found
      const columns = await this.#columns(plan, signal)
      const next: DeliveryPlan = {
        version: 1,
        project,
        stream,
        sequence,
        layout,
        span,
        manifests: [...manifests],
        cursor,
        ...(columns && { columns }),
      }
      plan = await decide(archive, course, next, signal)
      isDone = false
      this.#position = { plan, isDone }
    }
    if (plan === undefined) return false
    this.#bucket ??= await this.#deps.streams.open(course)
    const sending = this.#failures > 0 ? this.#deps.sending.failed : this.#deps.sending.healthy
    const done = await carryOut({ ...this.#deps, sending }, this.#bucket, course, plan, this.#delivered, signal)
    await finish(archive, course, done, signal)
    this.#position = { plan, isDone: true }
    this.#delivered.clear()
    this.#deps.metrics.deliveries.inc()
    this.#settle({
      sequence: plan.sequence,
      ...(done.files.length > 0 && {
        last_file: done.files.at(-1)?.key ?? null,
        last_delivered_at: new Date(now()).toISOString(),
      }),
      events: this.#state.events + done.events,
      files: this.#state.files + done.files.length,
      bytes: this.#state.bytes + done.files.reduce((sum, { bytes }) => sum + bytes, 0),
    })
    return isFull || isLate || course.span.end_ms !== null
  }

  /** What the catalogue knows now, or knew when it could last be asked. Pinned in the plan, so that it is made the same again. */
  async #columns(before: DeliveryPlan | undefined, signal: AbortSignal): Promise<Columns | undefined> {
    const { catalogue, logger, metrics } = this.#deps
    const { project, layout } = this.#course
    if (catalogue === undefined || !formatOf(layout.format).hasColumns) return undefined
    // Who is given some rows must not learn from the columns what others have.
    if (layout.filters.length > 0) return undefined
    try {
      return await catalogue.columns(project, layout.collections, signal)
    } catch (error) {
      if (signal.aborted) throw error
      metrics.catalogueFailures.inc()
      logger.warn(
        { project, err: error },
        'the catalogue does not answer; files have the columns of the delivery before',
      )
      return before?.columns
    }
  }

  /** A back-fill has an end; one that looks at time to come goes on until that has been exported. */
  #isOver(isFull: boolean): boolean {
    const { end_ms: endMs } = this.#course.span
    return endMs !== null && !isFull && endMs + ARCHIVED_AFTER_MS <= this.#deps.now()
  }

  /** Where the course stands. What an earlier run had decided on and not finished is finished first. */
  async #takeUp(signal: AbortSignal): Promise<Position> {
    const { archive, readManifest, metrics } = this.#deps
    const position = await readPosition(archive, this.#course, signal)
    const { plan, isDone } = position
    if (plan !== undefined && !isDone) {
      this.#oldestMs = await oldestOf(archive, readManifest, plan.manifests, signal)
      metrics.resumed.inc()
    }
    return position
  }

  /** Brings the figure of its lag up to date; while a delivery does not come through, it grows. */
  tellLag(): void {
    const seconds = this.#oldestMs === undefined ? 0 : Math.max(0, this.#deps.now() - this.#oldestMs) / 1_000
    const { project, stream, course } = this.#course
    // A back-fill's events are old on purpose: the gauge is the stream's own.
    if (course === 'main' && !this.#hasEnded) this.#deps.metrics.lag.set({ project, stream }, seconds)
    this.#state = { ...this.#state, lag_seconds: Math.round(seconds) }
  }

  #settle(change: Partial<CourseState>): void {
    this.#oldestMs = undefined
    this.tellLag()
    const isNew = this.#state.state !== 'running'
    this.#state = {
      ...this.#state,
      ...(isNew && { since: new Date(this.#deps.now()).toISOString() }),
      state: 'running',
      reason: null,
      message: null,
      ...change,
    }
    this.#deps.streams.report(this.#course, this.#state)
  }

  async #failed(error: unknown, signal: AbortSignal): Promise<void> {
    const { logger, metrics, settings, streams, now } = this.#deps
    const reason = reasonOf(error)
    this.#failures += 1
    metrics.failures.inc({ reason })
    // Its definition or the bucket's credentials may be others by the next time.
    await this.#close()
    const state = reason === 'unavailable' || reason === 'damaged' ? 'failing' : 'blocked'
    const isNew = this.#state.state === 'running'
    this.tellLag()
    const message = error instanceof AppError ? error.message : 'An error of our own; the log says more.'
    this.#state = {
      ...this.#state,
      state,
      reason,
      message,
      ...(isNew && { since: new Date(now()).toISOString() }),
    }
    const { project, stream, course } = this.#course
    logger.warn(
      { project, stream, course, reason, failures: this.#failures, err: error },
      'a delivery failed and is tried again',
    )
    streams.report(this.#course, this.#state)
    const waitMs = Math.min(settings.retryDelayMaxMs, settings.retryDelayMs * 2 ** Math.min(this.#failures - 1, 16))
    // Half of the wait is chance, so that streams that failed together do not come back together.
    await pause(waitMs / 2 + Math.random() * (waitMs / 2), signal)
  }

  async #close(): Promise<void> {
    const bucket = this.#bucket
    this.#bucket = undefined
    await bucket?.close()
  }

  /** Waits for the next multiple of the cadence; streams are spread over it by their names' lengths of life. */
  async #untilDue(signal: AbortSignal): Promise<void> {
    const { settings, now } = this.#deps
    const cadenceMs = this.#course.layout.cadence_minutes * settings.minuteMs
    const shiftMs = this.#course.createdAtMs % cadenceMs
    const leftMs = cadenceMs - ((now() - shiftMs) % cadenceMs)
    await pause(leftMs, signal)
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined)
}

const REASONS: readonly unknown[] = ['forbidden', 'credentials', 'no_bucket', 'quota', 'invalid']
const isReason = (value: unknown): value is DeliveryFailure => REASONS.includes(value)

function reasonOf(error: unknown): DeliveryFailure {
  if (hasCode(error, 'ARCHIVE_DAMAGED')) return 'damaged'
  const reason = hasCode(error, 'BUCKET_REFUSED') ? error.details['reason'] : undefined
  return isReason(reason) ? reason : 'unavailable'
}

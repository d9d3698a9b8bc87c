import { AppError } from '../../shared/errors.ts'
import { eventAddress } from '../../shared/events/codec.ts'
import type { EventLog, LogRecord } from '../../shared/log/port.ts'
import { EVENTS_TOPIC } from '../../shared/log/topics.ts'
import type { Logger } from '../../shared/telemetry/logger.ts'
import type { Registry } from '../../shared/telemetry/metrics.ts'
import { createTailMeters, type RefusalReason, type TailMeters } from './meters.ts'
import type { Outlet } from './outlet.ts'
import { PassingEvent } from './passing-event.ts'
import type { TailSettings } from './settings.ts'
import { Tail, type TailDeps } from './tail.ts'

export interface TailHubDeps {
  readonly log: Pick<EventLog, 'follow'>
  readonly settings: TailSettings
  readonly metrics: Registry
  readonly logger: Logger
  readonly nowMs?: () => number
  readonly random?: () => number
}

/** Keys are looked at again so often: a revoked one sees nothing any more well within a second. */
const TICK_MS = 250
/** For the log to say where its end is. */
const OPENING_MS = 10_000

interface Reader {
  readonly stop: AbortController
  readonly live: Promise<void>
}

/**
 * The tails of this process and the one reader of the log that they share, which runs while there is a tail. An event is
 * looked at only as far as its project, unless a tail of that project is open.
 */
export class TailHub {
  readonly #deps: TailHubDeps
  readonly #meters: TailMeters
  readonly #tails = new Map<string, Set<Tail>>()
  #count = 0
  #reader: Reader | undefined
  #ticking: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(deps: TailHubDeps) {
    this.#deps = deps
    this.#meters = createTailMeters(deps.metrics, () => this.#count)
  }

  /**
   * Resolves once what is recorded from now on will be seen. Rejects with what the request's key is refused for,
   * QueryConcurrencyLimitError beyond the bounds, ServiceUnavailableError when the log cannot be read.
   */
  async open(deps: Pick<TailDeps, 'request' | 'grantNow'>, gone: AbortSignal): Promise<Outlet> {
    const { settings, nowMs = () => performance.now(), random = Math.random } = this.#deps
    if (this.#isClosed) throw new AppError('SHUTTING_DOWN', 'tails are closed')
    const { queueBytesMax } = settings
    const tail = new Tail({ ...deps, meters: this.#meters, queueBytesMax, nowMs, random })
    this.#checkRoom(tail)
    this.#add(tail)
    tail.outlet.once('close', () => this.#remove(tail))
    try {
      await within(OPENING_MS, this.#liveReader())
    } catch (error) {
      tail.outlet.destroy()
      this.#meters.refused('log')
      throw new AppError('ServiceUnavailableError', 'The log cannot be followed now.', { cause: error })
    }
    tail.begin()
    if (gone.aborted) tail.outlet.destroy()
    return tail.outlet
  }

  /** Ends all tails. */
  close(): void {
    this.#isClosed = true
    this.#endAll('shutdown', new AppError('SHUTTING_DOWN', 'the process stops'))
  }

  #checkRoom({ projectId, keyId }: Tail): void {
    const { tailsMax, perProjectMax, perKeyMax } = this.#deps.settings
    const siblings = [...(this.#tails.get(projectId) ?? [])]
    const ofKey = siblings.filter((tail) => tail.keyId === keyId).length
    const refuse = (reason: RefusalReason, max: number, whose: string): never => {
      this.#meters.refused(reason)
      const message = `There are ${max} live tails open ${whose}, as many as there may be.`
      throw new AppError('QueryConcurrencyLimitError', message, { retryAfterS: 5 })
    }
    if (ofKey >= perKeyMax) refuse('key', perKeyMax, 'under this key')
    if (siblings.length >= perProjectMax) refuse('project', perProjectMax, 'of this project')
    if (this.#count >= tailsMax) refuse('process', tailsMax, 'here')
  }

  #add(tail: Tail): void {
    this.#count++
    const siblings = this.#tails.get(tail.projectId)
    if (siblings === undefined) this.#tails.set(tail.projectId, new Set([tail]))
    else siblings.add(tail)
    this.#ticking ??= setInterval(() => this.#tick(), TICK_MS)
  }

  #remove(tail: Tail): void {
    const siblings = this.#tails.get(tail.projectId)
    if (siblings?.delete(tail) !== true) return
    this.#count--
    if (siblings.size === 0) this.#tails.delete(tail.projectId)
    if (this.#count > 0) return
    clearInterval(this.#ticking)
    this.#ticking = undefined
    this.#reader?.stop.abort()
    this.#reader = undefined
  }

  #tick(): void {
    for (const siblings of this.#tails.values()) for (const tail of siblings) tail.tick()
  }

  async #liveReader(): Promise<void> {
    this.#reader ??= this.#startReader()
    return this.#reader.live
  }

  #startReader(): Reader {
    const stop = new AbortController()
    const apply = (record: LogRecord): void => (stop.signal.aborted ? undefined : this.#pass(record))
    const { caughtUp, done } = this.#deps.log.follow(EVENTS_TOPIC, apply, stop.signal, 'end')
    const reader = { stop, live: caughtUp }
    done.catch((error: unknown) => {
      stop.abort()
      this.#deps.logger.error({ err: error }, 'the log can no longer be followed for tails')
      if (this.#reader !== reader) return
      this.#reader = undefined
      this.#endAll('log', new AppError('ServiceUnavailableError', 'The log cannot be followed any more.'))
    })
    return reader
  }

  /** Never throws: an event that cannot be read must not stop the others. */
  #pass(record: LogRecord): void {
    const { value } = record
    if (value === null) return
    const address = eventAddress(value)
    if (address !== undefined && !this.#tails.has(address.project)) return
    let event: PassingEvent
    try {
      event = new PassingEvent(record, value)
    } catch {
      this.#meters.event('unreadable')
      return
    }
    const workMsPerSecond = this.#deps.settings.workMsPerSecond / Math.max(1, this.#count)
    for (const tail of this.#tails.get(event.project) ?? []) {
      if (tail.wants(event.collection)) tail.pass(event, workMsPerSecond)
    }
  }

  #endAll(reason: 'log' | 'shutdown', error: AppError): void {
    for (const siblings of this.#tails.values()) for (const tail of siblings) tail.end(reason, error)
  }
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(() => late.reject(new Error(`not within ${ms} ms`)), ms)
  try {
    await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

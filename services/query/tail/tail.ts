import { AppError } from '../../shared/errors.ts'
import { compileMatcher, type Matcher } from '../../shared/filters/evaluate.ts'
import { TokenBucket } from '../../shared/limits/domain/token-bucket.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import { type DropReason, droppedMessage, endMessage, HEARTBEAT, OPENING } from './messages.ts'
import type { EndReason, TailMeters } from './meters.ts'
import { Outlet } from './outlet.ts'
import type { PassingEvent } from './passing-event.ts'
import type { TailRequest } from './request.ts'
import { WorkShare } from './work-share.ts'

export interface TailDeps {
  readonly request: TailRequest
  /** The key's grant as it is now; throws when the key is no longer good for a tail. */
  readonly grantNow: () => Grant
  readonly meters: TailMeters
  readonly queueBytesMax: number
  /** Monotonic milliseconds. */
  readonly nowMs: () => number
  /** From 0 to 1. */
  readonly random: () => number
}

const HEARTBEAT_MS = 15_000
const NOTICE_MS = 1_000
/** A reader that takes nothing for so long is cut off: it holds memory and one of the few places. */
const STALL_MS = 60_000

/** One reader's view of the events that come in: those that its key and its filters let it see. */
export class Tail {
  readonly projectId: string
  readonly keyId: string
  readonly outlet: Outlet
  readonly #deps: TailDeps
  readonly #bucket: TokenBucket
  readonly #work = new WorkShare()
  readonly #dropped: Record<DropReason, number> = { slow: 0, rate: 0, busy: 0 }
  #grant: Grant
  #matches: Matcher
  #endReason: EndReason = 'caller'
  #hasBegun = false
  #saidAtMs: number
  #noticedAtMs: number

  /** Throws what `grantNow` throws, and InvalidFilterError. */
  constructor(deps: TailDeps) {
    const nowMs = deps.nowMs()
    this.#deps = deps
    this.#grant = deps.grantNow()
    this.#matches = matcherOf(this.#grant, deps.request)
    this.projectId = this.#grant.projectId
    this.keyId = this.#grant.keyId
    this.#bucket = new TokenBucket(this.#rate, nowMs)
    this.#saidAtMs = nowMs
    this.#noticedAtMs = nowMs
    this.outlet = new Outlet({ bytesMax: deps.queueBytesMax, nowMs })
    this.outlet.once('close', () => (this.#hasBegun ? deps.meters.ended(this.#endReason) : undefined))
  }

  /** The reader sees this first; what is recorded from then on reaches it. */
  begin(): void {
    this.#hasBegun = true
    this.outlet.offer(OPENING)
  }

  wants(collection: string): boolean {
    const { collections } = this.#deps.request
    return collections === null || collections.has(collection)
  }

  /** Shows the event to the reader if it is one for it; may do so for `workMsPerSecond`. */
  pass(event: PassingEvent, workMsPerSecond: number): void {
    const { request, meters, nowMs, random } = this.#deps
    if (request.sample < 1 && random() >= request.sample) return meters.event('sampled_out')
    const startedMs = nowMs()
    if (!this.#work.isLeft(workMsPerSecond, startedMs)) return this.#drop('busy')
    try {
      if (!this.#matches(event.matched)) return meters.event('filtered')
      if (!this.#bucket.take(this.#rate, 1, startedMs)) return this.#drop('rate')
      if (!this.outlet.offer(event.message)) return this.#drop('slow')
      this.#saidAtMs = startedMs
      meters.event('sent')
    } catch {
      meters.event('unreadable')
    } finally {
      this.#work.spend(nowMs() - startedMs)
    }
  }

  /** What has to be done from time to time, events or not: several times a second. */
  tick(): void {
    this.#checkKey()
    const nowMs = this.#deps.nowMs()
    if (this.outlet.stalledMs(nowMs) >= STALL_MS) {
      this.#endReason = 'stalled'
      this.outlet.destroy()
      return
    }
    if (nowMs - this.#noticedAtMs >= NOTICE_MS) this.#tellOfDropped(nowMs)
    if (nowMs - this.#saidAtMs >= HEARTBEAT_MS && this.outlet.offer(HEARTBEAT)) this.#saidAtMs = nowMs
  }

  end(reason: EndReason, error: AppError): void {
    if (this.outlet.destroyed) return
    this.#endReason = reason
    this.outlet.finish(endMessage(error))
  }

  get #rate() {
    const { rateMax } = this.#deps.request
    return { burst: rateMax, perSecond: rateMax }
  }

  /** Ends the tail of a key that is gone, and takes over what else has been changed about the key. */
  #checkKey(): void {
    try {
      const grant = this.#deps.grantNow()
      if (grant === this.#grant) return
      this.#matches = matcherOf(grant, this.#deps.request)
      this.#grant = grant
    } catch (error) {
      this.end('key', error instanceof AppError ? error : new AppError('InternalServerError', '', { cause: error }))
    }
  }

  #drop(reason: DropReason): void {
    this.#dropped[reason]++
    this.#deps.meters.event(`dropped_${reason}`)
  }

  #tellOfDropped(nowMs: number): void {
    const { slow, rate, busy } = this.#dropped
    if (slow + rate + busy === 0 || !this.outlet.offer(droppedMessage(this.#dropped))) return
    Object.assign(this.#dropped, { slow: 0, rate: 0, busy: 0 })
    this.#noticedAtMs = nowMs
    this.#saidAtMs = nowMs
  }
}

/** The grant's filters stand beside the reader's own: nothing that the reader asks for can take them away. */
const matcherOf = (grant: Grant, request: TailRequest): Matcher =>
  compileMatcher([...grant.rowFilters, ...request.filters])

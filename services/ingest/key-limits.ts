import { AppError } from '../shared/errors.ts'
import { type KeyLimits, limitsFor } from '../shared/limits/domain/key-limits.ts'
import { RateLimiter } from '../shared/limits/rate-limiter.ts'
import type { Rate } from '../shared/limits/domain/token-bucket.ts'
import type { Grant } from '../shared/registry/grant.ts'
import type { KeyKind } from '../shared/registry/model.ts'
import type { IngestMetrics } from './metrics.ts'

/** So many seconds' worth may come at once. */
const BURST_S = 5
const rateOf = (perSecond: number): Rate => ({ burst: perSecond * BURST_S, perSecond })

/** What keys may record, in this process. A request is taken whole or not at all. */
export class RecordingLimits {
  readonly #defaults: Readonly<Record<KeyKind, KeyLimits>>
  readonly #rates: RateLimiter
  readonly #limited: IngestMetrics['limited']

  constructor(
    defaults: Readonly<Record<KeyKind, KeyLimits>>,
    { limited }: Pick<IngestMetrics, 'limited'>,
    rates: RateLimiter = new RateLimiter(),
  ) {
    this.#defaults = defaults
    this.#rates = rates
    this.#limited = limited
  }

  /** `bytes`: of the body as it was unpacked. Throws RateLimitExceededError, having taken nothing. */
  take(grant: Grant, events: number, bytes: number): void {
    const limits = limitsFor(this.#defaults[grant.kind], grant.projectLimits, grant.ownLimits)
    const { events_per_second: eventsMax, bytes_per_second: bytesMax } = limits
    if (eventsMax === undefined && bytesMax === undefined) return
    const key = `${grant.projectId}/${grant.keyId}`
    try {
      if (bytesMax !== undefined) this.#rates.take(key, 'bytes_per_second', bytesMax, rateOf(bytesMax), bytes)
      if (eventsMax === undefined) return
      try {
        this.#rates.take(key, 'events_per_second', eventsMax, rateOf(eventsMax), events)
      } catch (error) {
        if (bytesMax !== undefined) this.#rates.putBack(key, 'bytes_per_second', rateOf(bytesMax), bytes)
        throw error
      }
    } catch (error) {
      if (error instanceof AppError) this.#limited.inc({ limit: String(error.shown['limit_name']), kind: grant.kind })
      throw error
    }
  }
}

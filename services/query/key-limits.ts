import { Counter, type Registry } from 'prom-client'
import { AppError } from '../shared/errors.ts'
import { type KeyLimits, type LimitName, limitsFor } from '../shared/limits/domain/key-limits.ts'
import { limitExceeded, RateLimiter } from '../shared/limits/rate-limiter.ts'
import type { Grant } from '../shared/registry/grant.ts'
import type { KeyKind } from '../shared/registry/model.ts'
import type { ReadLimits } from '../shared/warehouse/port.ts'

/** Asked for beforehand, so that reading them asks nothing of the warehouse that was not counted then. */
const UNCOUNTED: ReadonlySet<string> = new Set(['dataset'])

/** What keys may ask, in this process. */
export class QueryLimits {
  readonly #defaults: Readonly<Record<KeyKind, KeyLimits>>
  readonly #rates: RateLimiter
  readonly #running = new Map<string, number>()
  readonly #refused: Counter<'limit' | 'kind'>

  constructor(
    defaults: Readonly<Record<KeyKind, KeyLimits>>,
    metrics: Registry,
    rates: RateLimiter = new RateLimiter(),
  ) {
    this.#defaults = defaults
    this.#rates = rates
    this.#refused = new Counter({
      name: 'query_limited_total',
      help: 'Queries that were refused because of a limit of their key, by the limit and the kind of key.',
      labelNames: ['limit', 'kind'],
      registers: [metrics],
    })
  }

  /** Throws RateLimitExceededError or QueryConcurrencyLimitError. Call what it gives back when the query is over. */
  enter(name: string, grant: Grant): () => void {
    const key = `${grant.projectId}/${grant.keyId}`
    const limits = this.#of(grant)
    const running = this.#running.get(key) ?? 0
    const atOnce = limits.concurrent_queries
    if (atOnce !== undefined && running >= atOnce)
      throw this.#refusal(limitExceeded('concurrent_queries', atOnce, 1), grant)
    const perMinute = limits.queries_per_minute
    if (perMinute !== undefined && !UNCOUNTED.has(name)) {
      const rate = { burst: perMinute, perSecond: perMinute / 60 }
      try {
        this.#rates.take(key, 'queries_per_minute', perMinute, rate, 1)
      } catch (error) {
        throw this.#refusal(error, grant)
      }
    }
    this.#running.set(key, running + 1)
    return () => {
      const left = (this.#running.get(key) ?? 1) - 1
      if (left === 0) this.#running.delete(key)
      else this.#running.set(key, left)
    }
  }

  /** What one query may cost: `limits` are those of its kind of key. */
  read(limits: Readonly<Record<KeyKind, ReadLimits>>, grant: Grant): ReadLimits {
    const of = limits[grant.kind]
    const { rows_per_query: rows, seconds_per_query: seconds } = limitsFor({}, grant.projectLimits, grant.ownLimits)
    if (rows === undefined && seconds === undefined) return of
    const isRaised = (name: LimitName): boolean => grant.projectLimits[name] !== undefined
    return {
      ...of,
      ...(rows !== undefined && {
        rowsToRead: isRaised('rows_per_query') || of.rowsToRead === 0 ? rows : Math.min(rows, of.rowsToRead),
      }),
      ...(seconds !== undefined && {
        executionS: isRaised('seconds_per_query') ? seconds : Math.min(seconds, of.executionS),
      }),
    }
  }

  #of(grant: Grant): KeyLimits {
    return limitsFor(this.#defaults[grant.kind], grant.projectLimits, grant.ownLimits)
  }

  #refusal(error: unknown, { kind }: Grant): unknown {
    if (error instanceof AppError) this.#refused.inc({ limit: String(error.shown['limit_name']), kind })
    return error
  }
}

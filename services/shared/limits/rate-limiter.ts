import { LRUCache } from 'lru-cache'
import { AppError } from '../errors.ts'
import type { LimitName } from './domain/key-limits.ts'
import { TokenBucket, type Rate } from './domain/token-bucket.ts'

/** Buckets that are remembered; one that was long unused is full again anyway. */
const BUCKETS_MAX = 50_000

const WORDS: Readonly<Record<LimitName, string>> = {
  events_per_second: 'events a second',
  bytes_per_second: 'bytes a second',
  queries_per_minute: 'queries a minute',
  concurrent_queries: 'queries at once',
  rows_per_query: 'rows a query',
  seconds_per_query: 'seconds a query',
}

/** Buckets of keys, in this process: so many processes let through so many times as much. */
export class RateLimiter {
  readonly #buckets = new LRUCache<string, TokenBucket>({ max: BUCKETS_MAX })
  readonly #nowMs: () => number

  /** `nowMs`: monotonic. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  /** Takes `amount` of a key's limit. Throws RateLimitExceededError, having taken nothing. */
  take(key: string, name: LimitName, limit: number, rate: Rate, amount: number): void {
    const waitS = this.#bucket(key, name, rate).takeOrOwe(rate, amount, this.#nowMs())
    if (waitS > 0) throw limitExceeded(name, limit, waitS)
  }

  /** Gives back what was taken for something that was not done. */
  putBack(key: string, name: LimitName, rate: Rate, amount: number): void {
    this.#bucket(key, name, rate).putBack(rate, amount)
  }

  #bucket(key: string, name: LimitName, rate: Rate): TokenBucket {
    const place = `${name}/${key}`
    const known = this.#buckets.get(place)
    if (known !== undefined) return known
    const bucket = new TokenBucket(rate, this.#nowMs())
    this.#buckets.set(place, bucket)
    return bucket
  }
}

/** Says which limit it was and its value, to people and to programs. */
export function limitExceeded(name: LimitName, limit: number, waitS: number): AppError {
  const retryAfterS = Math.max(1, Math.ceil(waitS))
  return new AppError(
    name === 'concurrent_queries' ? 'QueryConcurrencyLimitError' : 'RateLimitExceededError',
    `This key may have ${limit} ${WORDS[name]}. Please try again in ${retryAfterS} s.`,
    { retryAfterS, shown: { limit_name: name, limit }, rateLimit: { limit, resetS: retryAfterS } },
  )
}

/** So much at once, and so much again as time goes by: a bucket of `burst` that fills at `perSecond`. */
export interface Rate {
  readonly burst: number
  readonly perSecond: number
}

/**
 * What is left of a rate. Whatever is taken when: over any stretch of t seconds, what was given is at most
 * `burst + perSecond * t`. The rate comes with each call, because it may change; what is left then is cut to the new burst.
 * Times are milliseconds of one monotonic clock.
 */
export class TokenBucket {
  #tokens: number
  #atMs: number

  constructor(rate: Rate, nowMs: number) {
    this.#tokens = rate.burst
    this.#atMs = nowMs
  }

  available(rate: Rate, nowMs: number): number {
    const elapsedS = Math.max(0, nowMs - this.#atMs) / 1_000
    this.#tokens = Math.min(rate.burst, this.#tokens + elapsedS * rate.perSecond)
    this.#atMs = Math.max(this.#atMs, nowMs)
    return this.#tokens
  }

  /** Takes all of `amount`, or nothing. */
  take(rate: Rate, amount: number, nowMs: number): boolean {
    if (this.available(rate, nowMs) < amount) return false
    this.#tokens -= amount
    return true
  }

  /**
   * Takes `amount`; of more than a bucket holds, when the bucket is full, and what is missing is owed: nothing is too large for
   * ever. Gives the seconds after which it is worth trying again; 0: it was taken.
   */
  takeOrOwe(rate: Rate, amount: number, nowMs: number): number {
    const wanted = Math.min(amount, rate.burst)
    const left = this.available(rate, nowMs)
    if (left < wanted) return (wanted - left) / rate.perSecond
    this.#tokens -= amount
    return 0
  }

  /** Gives back what was taken and not used. */
  putBack(rate: Rate, amount: number): void {
    this.#tokens = Math.min(rate.burst, this.#tokens + amount)
  }
}

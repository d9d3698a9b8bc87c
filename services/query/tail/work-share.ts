/** At once: short enough that nobody else waits noticeably. */
const BURST_S = 0.1

/** Bounds the time that something spends at a rate of milliseconds a second; what went past it is owed first. */
export class WorkShare {
  #owedMs = 0
  #atMs = 0

  /** Whether it may go on now. `nowMs`: monotonic. */
  isLeft(msPerSecond: number, nowMs: number): boolean {
    this.#owedMs = Math.max(0, this.#owedMs - (Math.max(0, nowMs - this.#atMs) / 1_000) * msPerSecond)
    this.#atMs = nowMs
    return this.#owedMs < BURST_S * msPerSecond
  }

  spend(ms: number): void {
    this.#owedMs += ms
  }
}

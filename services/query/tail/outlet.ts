import { Readable } from 'node:stream'

/**
 * The reader's end of a tail: text goes in without waiting, and what the reader has not taken yet is bounded. Closed by
 * the reader's going away, by `finish`, or by `destroy`.
 */
export class Outlet extends Readable {
  readonly #bytesMax: number
  #offered = 0
  #takenBefore = 0
  #idleSinceMs: number
  #isFinished = false

  /** `nowMs`: monotonic. */
  constructor({ bytesMax, nowMs }: { readonly bytesMax: number; readonly nowMs: number }) {
    super({ read() {} })
    this.#bytesMax = bytesMax
    this.#idleSinceMs = nowMs
  }

  /** False when there is no room for it: nothing of it is sent then. */
  offer(text: string): boolean {
    if (this.destroyed || this.#isFinished) return false
    const bytes = Buffer.from(text)
    // One that is larger than the whole room passes when nothing waits.
    if (this.readableLength > 0 && this.readableLength + bytes.length > this.#bytesMax) return false
    this.#offered += bytes.length
    this.push(bytes)
    return true
  }

  /** How long the reader has taken nothing of what waits, in milliseconds; 0 when nothing does. Ask from time to time. */
  stalledMs(nowMs: number): number {
    const taken = this.#offered - this.readableLength
    if (taken !== this.#takenBefore || this.readableLength === 0) {
      this.#takenBefore = taken
      this.#idleSinceMs = nowMs
    }
    return nowMs - this.#idleSinceMs
  }

  /** Nothing that still waits is sent any more: whoever must not see more must not see that either. */
  finish(last: string): void {
    if (this.destroyed || this.#isFinished) return
    this.#isFinished = true
    if (this.readableLength > 0) {
      this.destroy()
    } else {
      this.push(last)
      this.push(null)
    }
  }
}

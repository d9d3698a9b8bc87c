/** How many batches may be in memory. A batch takes a slot before it grows, and gives it back when it is done with. */
export class Slots {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(slots: number) {
    this.#free = slots
  }

  /** Resolves with true once there is a slot, or with false when `signal` aborts first. */
  async take(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false
    if (this.#free > 0) {
      this.#free -= 1
      return true
    }
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const onSlot = (): void => {
      signal.removeEventListener('abort', onAbort)
      resolve(true)
    }
    const onAbort = (): void => {
      this.#waiting.delete(onSlot)
      resolve(false)
    }
    this.#waiting.add(onSlot)
    signal.addEventListener('abort', onAbort, { once: true })
    return promise
  }

  give(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free += 1
      return
    }
    this.#waiting.delete(next)
    next()
  }
}

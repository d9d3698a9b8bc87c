import { AppError } from '../shared/errors.ts'

export interface TurnLimits {
  readonly runningMax: number
  readonly perProjectMax: number
  readonly waitMs: number
}

interface Waiter {
  readonly start: () => void
}

/**
 * Who may run a query now. Turns are given in the order of asking; a project with too many queries running and waiting,
 * and a query that waited too long, are refused with QueryConcurrencyLimitError, so that no queue grows without bound.
 */
export class Turns {
  readonly #limits: TurnLimits
  readonly #waiting: Waiter[] = []
  readonly #ofProject = new Map<string, number>()
  #running = 0

  constructor(limits: TurnLimits) {
    this.#limits = limits
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Runs `work` in its turn. Rejects with the signal's reason when that aborts before the turn comes. */
  async run<T>(projectId: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    const ofProject = this.#ofProject.get(projectId) ?? 0
    if (ofProject >= this.#limits.perProjectMax) throw refused('This project has too many queries running.')
    this.#ofProject.set(projectId, ofProject + 1)
    try {
      if (this.#running < this.#limits.runningMax) this.#running++
      else await this.#turn(signal)
      try {
        return await work()
      } finally {
        this.#running--
        this.#next()
      }
    } finally {
      const left = (this.#ofProject.get(projectId) ?? 1) - 1
      if (left === 0) this.#ofProject.delete(projectId)
      else this.#ofProject.set(projectId, left)
    }
  }

  #next(): void {
    const waiter = this.#waiting.shift()
    if (waiter === undefined) return
    this.#running++
    waiter.start()
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter: Waiter = { start: resolve }
    const leave = (error: unknown): void => {
      const place = this.#waiting.indexOf(waiter)
      if (place === -1) return
      this.#waiting.splice(place, 1)
      reject(error instanceof Error ? error : new Error('left the queue', { cause: error }))
    }
    const onAbort = (): void => leave(signal.reason)
    const timer = setTimeout(() => leave(refused('Too many queries are running.')), this.#limits.waitMs)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.push(waiter)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
  }
}

const refused = (message: string): AppError =>
  new AppError('QueryConcurrencyLimitError', `${message} Please try again later.`, { retryAfterS: 1 })

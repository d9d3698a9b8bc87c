import { Session } from 'chdb'
import { AppError } from '../errors.ts'

interface Waiter {
  readonly take: (session: Session) => void
  readonly refuse: (error: Error) => void
}

/**
 * chDB sessions on one data folder. A session runs one statement at a time and remembers the parameters it was given,
 * so each statement has one to itself; statements on different sessions run at the same time.
 */
export class SessionPool {
  readonly #folder: string
  readonly #sessionsMax: number
  readonly #free: Session[] = []
  readonly #waiting = new Set<Waiter>()
  #open = 0
  #closed = false

  constructor(folder: string, sessionsMax: number) {
    this.#folder = folder
    this.#sessionsMax = sessionsMax
  }

  /** Waits its turn. Rejects with the signal's reason when it aborts first. */
  async take(signal?: AbortSignal): Promise<Session> {
    signal?.throwIfAborted()
    if (this.#closed) throw new AppError('WAREHOUSE_UNAVAILABLE', 'The warehouse is closed.')
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#open < this.#sessionsMax) return this.#openSession()
    const { promise, resolve, reject } = Promise.withResolvers<Session>()
    const waiter: Waiter = { take: resolve, refuse: reject }
    const onAbort = (): void => {
      if (this.#waiting.delete(waiter)) reject(signal?.reason)
    }
    this.#waiting.add(waiter)
    signal?.addEventListener('abort', onAbort, { once: true })
    return promise.finally(() => signal?.removeEventListener('abort', onAbort))
  }

  give(session: Session): void {
    if (this.#closed) return session.close()
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free.push(session)
      return
    }
    this.#waiting.delete(next)
    next.take(session)
  }

  /**
   * Takes back a session whose statement failed, and throws it away: what the statement had written of its answer
   * stays in the session and would stand before the answer of the next one, which may be somebody else's.
   */
  discard(session: Session): void {
    session.close()
    this.#open -= 1
    if (this.#closed) return
    const [next] = this.#waiting
    if (next === undefined) return
    this.#waiting.delete(next)
    try {
      next.take(this.#openSession())
    } catch (error) {
      next.refuse(error instanceof Error ? error : new Error('no session', { cause: error }))
    }
  }

  #openSession(): Session {
    const session = new Session(this.#folder)
    this.#open += 1
    return session
  }

  /** Closes the free sessions now, and each of the others when it is given back. */
  close(): void {
    this.#closed = true
    for (const waiter of this.#waiting) waiter.refuse(new AppError('WAREHOUSE_UNAVAILABLE', 'The warehouse is closed.'))
    this.#waiting.clear()
    for (const session of this.#free.splice(0)) session.close()
  }
}

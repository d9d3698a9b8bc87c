import { AppError } from '../errors.ts'
import type { EventLog, LogRecord } from '../log/port.ts'

/** One reader of a one-partition topic, and those who wait until it has come past an offset. */
export interface Following {
  /** As the log's `follow`; rejects when that ends before. */
  readonly caughtUp: Promise<void>
  /** Aborts, with the reason, when following broke off for good; not when it was stopped. */
  readonly failed: AbortSignal
  /**
   * Resolves once the record at `offset` (or a later one) has been applied. Rejects with ServiceUnavailableError when
   * that takes longer than `timeoutMs`, or when following has broken off.
   */
  passed(offset: bigint, timeoutMs: number): Promise<void>
  /** Resolves when nothing will be applied any more. */
  stop(): Promise<void>
}

interface Waiter {
  readonly offset: bigint
  readonly resolve: () => void
  readonly reject: (error: AppError) => void
}

/** Hands every record of the topic to `apply`, in order, until stopped or `signal` aborts; `apply` must not throw. */
export function startFollowing(
  log: Pick<EventLog, 'follow'>,
  topic: string,
  apply: (record: LogRecord) => void,
  signal?: AbortSignal,
): Following {
  const stopping = new AbortController()
  signal?.addEventListener('abort', () => stopping.abort())
  if (signal?.aborted === true) stopping.abort()
  const failed = new AbortController()
  const waiters = new Set<Waiter>()
  let applied = -1n

  const release = (): void => {
    for (const waiter of waiters) if (waiter.offset <= applied) waiter.resolve()
  }
  const { caughtUp, done } = log.follow(
    topic,
    (record) => {
      apply(record)
      applied = record.offset
      if (waiters.size > 0) release()
    },
    stopping.signal,
  )
  const refuse = (error: AppError): AppError => {
    for (const waiter of waiters) waiter.reject(error)
    return error
  }
  const ended = done.then(
    () => refuse(new AppError('SHUTTING_DOWN', 'the registry is closed')),
    (error: unknown) => {
      failed.abort(error)
      return refuse(new AppError('ServiceUnavailableError', 'changes cannot be followed now', { cause: error }))
    },
  )

  const endedBefore = done.then(() => {
    throw new AppError('SHUTTING_DOWN', 'following was stopped')
  })
  return {
    caughtUp: Promise.race([caughtUp, endedBefore]),
    failed: failed.signal,
    async passed(offset, timeoutMs) {
      if (offset <= applied) return
      if (failed.signal.aborted || stopping.signal.aborted) throw await ended
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const waiter = { offset, resolve, reject }
      const late = (): void =>
        reject(
          new AppError('ServiceUnavailableError', 'the change is recorded, but has not come back from the log yet', {
            retryAfterS: 1,
          }),
        )
      const timer = setTimeout(late, timeoutMs)
      waiters.add(waiter)
      try {
        await promise
      } finally {
        clearTimeout(timer)
        waiters.delete(waiter)
      }
    },
    async stop() {
      stopping.abort()
      await ended
    },
  }
}

import { setTimeout as delay } from 'node:timers/promises'
import { AppError, isRetryable } from './errors.ts'

export interface Backoff {
  readonly retryDelayMs: number
  readonly retryDelayMaxMs: number
}

/** What ends a batch that nobody may finish here any more. */
export const stopped = (): AppError => new AppError('SHUTTING_DOWN', 'The batch is left to its next owner.')

/**
 * Tries until an answer is definite: a value, or an error that another try cannot change. Waits longer each time, up to
 * the maximum. An aborted `signal` allows the try that runs, and no other: then it rejects with SHUTTING_DOWN.
 */
export async function untilDefinite<T>(
  backoff: Backoff,
  signal: AbortSignal,
  attempt: () => Promise<T>,
  onRetry: (error: unknown) => void,
): Promise<T> {
  for (let waitMs = backoff.retryDelayMs; ; waitMs = Math.min(waitMs * 2, backoff.retryDelayMaxMs)) {
    try {
      return await attempt()
    } catch (error) {
      if (!isRetryable(error)) throw error
      if (signal.aborted) throw stopped()
      onRetry(error)
    }
    // Half of the wait is chance, so that loaders that failed together do not come back together.
    await delay(waitMs / 2 + Math.random() * (waitMs / 2), undefined, { signal }).catch(() => undefined)
    if (signal.aborted) throw stopped()
  }
}

import type { EventLog } from '../log/port.ts'
import { partitionOfKey } from '../log/partition.ts'
import { SHARES, SHARES_TOPIC } from '../log/topics.ts'
import { hasCode, isRetryable } from '../errors.ts'

/**
 * Periodic work that exactly one process at a time should do, spread over all that run. The log's consumer groups already
 * decide who holds a partition, take it from a process that died, and refuse a commit of one that only thinks it
 * holds it; so each share of the work is a partition of a topic without records.
 */
export interface Share {
  readonly index: number
  readonly count: number
  /** Aborts when the share is lost, or the process is asked to stop. */
  readonly signal: AbortSignal
  /**
   * Resolves when the share is still this process's; rejects with LOG_FENCED when it is not, LOG_UNAVAILABLE when
   * nobody can tell. To be called right before an effect: between the two, the share can only be lost by a stall, which
   * effects must bear (a token, a slot's name).
   */
  confirm(): Promise<void>
}

export interface ShareOptions {
  readonly log: Pick<EventLog, 'consume'>
  /** Names the kind of work; each kind is shared out by itself. */
  readonly group: string
  /** Must return soon after its share's signal aborted. Losing the share or the log in the middle (`confirm` rejected) may be thrown on. */
  readonly work: (share: Share) => Promise<void>
  readonly signal: AbortSignal
}

/** Which share a thing's work belongs to; the same in every process and for ever. */
export const shareOf = (name: string): number => partitionOfKey(Buffer.from(name), SHARES)

/** Does `work` for every share this process holds, until `signal` aborts. Rejects when `work` fails for a reason of its own. */
export async function runShares({ log, group, work, signal }: ShareOptions): Promise<void> {
  await log.consume({ topic: SHARES_TOPIC, group, signal }, async (claim) => {
    const { partition: index, committed } = claim
    while (!claim.signal.aborted) {
      try {
        await work({
          index,
          count: SHARES,
          signal: claim.signal,
          confirm: async () => claim.commit(committed.offset),
        })
        if (!claim.signal.aborted) await pause(claim.signal)
      } catch (error) {
        // Lost, whether or not word of it has come yet: somebody else does the work.
        if (claim.signal.aborted || hasCode(error, 'LOG_FENCED')) return
        if (!isRetryable(error)) throw error
        await pause(claim.signal)
      }
    }
  })
}

/** What lost the log waits a moment before it asks again. */
const PAUSE_MS = 1_000

async function pause(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, PAUSE_MS)
  signal.addEventListener('abort', () => resolve(), { once: true })
  await promise
  clearTimeout(timer)
}

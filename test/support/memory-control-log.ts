import type { EventLog, LogMessage, LogRecord } from '../../services/shared/log/port.ts'

interface Follower {
  readonly apply: (record: LogRecord) => void
  readonly fail: (error: unknown) => void
}

export interface MemoryLog extends Pick<EventLog, 'append' | 'follow'> {
  readonly records: readonly LogRecord[]
  /** Keeps the newest record of each key only; with `forgetDeletions`, not even those that delete. */
  compact(options?: { readonly forgetDeletions?: boolean }): void
  /** While held, appends are recorded but reach no follower. */
  hold(): void
  release(): void
  /** Breaks all followers off for good. */
  breakOff(error: Error): void
}

/** One topic with one partition, in memory: the log's promises on `append` and `follow`, and faults to be had at will. */
export function memoryLog(): MemoryLog {
  let records: LogRecord[] = []
  let end = 0n
  let held: LogRecord[] | undefined
  const followers = new Set<Follower>()

  return {
    get records() {
      return records
    },
    async append(_topic, messages: readonly LogMessage[]) {
      const added = messages.map(({ partition, key, value }): LogRecord => {
        const offset = end
        end += 1n
        return { partition, offset, key, value, appendedAtMs: 0 }
      })
      records.push(...added)
      setImmediate(() => {
        if (held !== undefined) held.push(...added)
        else for (const record of added) for (const { apply } of followers) apply(record)
      })
      return new Map([[0, end - 1n]])
    },
    follow(_topic, apply, signal) {
      const past = [...records]
      const { promise: done, resolve, reject } = Promise.withResolvers<void>()
      const follower: Follower = { apply, fail: reject }
      signal.addEventListener('abort', () => {
        followers.delete(follower)
        resolve()
      })
      const caughtUp = new Promise<void>((resolveCaughtUp) => {
        setImmediate(() => {
          for (const record of past) apply(record)
          followers.add(follower)
          resolveCaughtUp()
        })
      })
      return { caughtUp, done }
    },
    compact({ forgetDeletions = false } = {}) {
      const newest = new Map(records.map((record) => [record.key?.toString('latin1') ?? '', record.offset]))
      records = records.filter(
        (record) =>
          newest.get(record.key?.toString('latin1') ?? '') === record.offset &&
          !(forgetDeletions && record.value === null),
      )
    },
    hold() {
      held = []
    },
    release() {
      for (const record of held ?? []) for (const { apply } of followers) apply(record)
      held = undefined
    },
    breakOff(error) {
      for (const { fail } of followers) fail(error)
      followers.clear()
    },
  }
}

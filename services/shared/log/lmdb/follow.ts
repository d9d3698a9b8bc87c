import { AppError } from '../../errors.ts'
import type { EventLog, FollowFrom, LogRecord } from '../port.ts'
import { PartitionReader } from './reader.ts'
import { endsOf, waitFor, type Store } from './store.ts'
import { topicRow } from './topics.ts'

const BATCH = { maxBytes: 1 << 20, maxRecords: 1_000 }
const RECHECK_MS = 60_000

/** As the port's `follow`. */
export function follow(
  store: Store,
  topic: string,
  apply: (record: LogRecord) => void,
  signal: AbortSignal,
  from: FollowFrom = 'start',
): ReturnType<EventLog['follow']> {
  const caughtUp = Promise.withResolvers<void>()
  caughtUp.promise.catch(() => {}) // a caller may wait for `done` alone
  const done = run(store, { topic, apply, signal, from, onCaughtUp: caughtUp.resolve })
  done.then(
    () => caughtUp.reject(new AppError('SHUTTING_DOWN', 'following was stopped')),
    (error: unknown) => caughtUp.reject(error),
  )
  return { caughtUp: caughtUp.promise, done }
}

interface Following {
  readonly topic: string
  readonly apply: (record: LogRecord) => void
  readonly signal: AbortSignal
  readonly from: FollowFrom
  readonly onCaughtUp: () => void
}

async function run(store: Store, { topic, apply, signal, from, onCaughtUp }: Following): Promise<void> {
  store.refresh()
  const { epoch, partitions } = topicRow(store, topic)
  const budget = { bytesMax: partitions * BATCH.maxBytes, bytes: 0 }
  const followed = Array.from({ length: partitions }, (_, partition) => {
    const { end } = endsOf(store, epoch, partition)
    const position = from === 'end' ? end : 0
    return { reader: new PartitionReader(store, { epoch, partition, position }, budget), goal: end }
  })
  const hasMore = (): boolean => followed.some(({ reader }) => reader.hasMore)
  while (!signal.aborted) {
    for (const { reader } of followed) {
      for (const record of reader.read(BATCH)) {
        apply(record)
        // `apply` may have asked for the end: nothing comes after it.
        if (signal.aborted) return
      }
    }
    if (followed.every(({ reader, goal }) => reader.position >= goal)) onCaughtUp()
    // A long way to catch up must leave room for others in between.
    if (hasMore()) await new Promise((resolve) => setImmediate(resolve))
    else await waitFor(store, hasMore, { timeoutMs: RECHECK_MS, signal })
  }
}

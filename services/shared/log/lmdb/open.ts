import type { ClaimHandler, ConsumeOptions, EventLog, LogMessage } from '../port.ts'
import { AppError } from '../../errors.ts'
import { AppendQueue, type AppendLimits } from './append-queue.ts'
import { GroupConsumer, type ConsumerLogger, type ConsumerTimes } from './consumer.ts'
import { follow } from './follow.ts'
import { committedOffsets } from './group.ts'
import { endsOf, openStore } from './store.ts'
import { sweep } from './sweep.ts'
import { ensureTopics, topicInfo, topicRow } from './topics.ts'

export interface LmdbLogOptions extends Partial<AppendLimits>, Partial<ConsumerTimes> {
  /** Of the log alone; made when it is missing. Several processes of one machine may share it. */
  readonly folder: string
  /** How often retention and compaction are looked at. Default a minute. */
  readonly sweepIntervalMs?: number
  readonly logger?: ConsumerLogger
}

export interface LmdbLog extends EventLog {
  readonly kind: 'lmdb'
  /** Applies retention and compaction now, without waiting for the next time that it is due. */
  sweep(): Promise<void>
  /** Bytes that the consumers of this handle hold ahead of their handlers. */
  readAheadBytes(): number
}

const MIB = 1 << 20
const SILENT: ConsumerLogger = { warn: () => {} }

/**
 * Opens the log on LMDB in `folder`. Rejects with LOG_UNAVAILABLE when that is not possible.
 * A process that is frozen in the very moment of a write keeps LMDB's lock: all writers wait until it goes on or is killed.
 * Defaults: session 10 s, hand-over 60 s, queue 64 MiB, 64 MiB of the disk left free, no limit on the size.
 */
export async function openLmdbLog(options: LmdbLogOptions): Promise<LmdbLog> {
  const logger = options.logger ?? SILENT
  const store = openStore(options.folder)
  const queue = new AppendQueue(store, {
    queueBytesMax: options.queueBytesMax ?? 64 * MIB,
    storageBytesMax: options.storageBytesMax ?? Number.POSITIVE_INFINITY,
    diskFreeBytesMin: options.diskFreeBytesMin ?? 64 * MIB,
  })
  const times: ConsumerTimes = {
    sessionTimeoutMs: options.sessionTimeoutMs ?? 10_000,
    handoverTimeoutMs: options.handoverTimeoutMs ?? 60_000,
  }
  const closing = new AbortController()
  const running = new Set<Promise<unknown>>()
  const consumers = new Set<GroupConsumer>()

  /** Remembers what is under way, so that closing can wait for it. */
  const track = <T>(work: Promise<T>): Promise<T> => {
    const settled: Promise<boolean> = work.then(
      () => running.delete(settled),
      () => running.delete(settled),
    )
    running.add(settled)
    return work
  }
  const assertOpen = (): void => {
    if (closing.signal.aborted) throw new AppError('LOG_UNAVAILABLE', 'the log is closed')
  }
  const sweepNow = async (thorough: boolean): Promise<void> => {
    assertOpen()
    await track(sweep(store, { nowMs: Date.now(), thorough }))
  }
  const timer = setInterval(() => {
    sweepNow(false).catch((error: unknown) => logger.warn({ error }, 'log cannot be swept'))
  }, options.sweepIntervalMs ?? 60_000)
  timer.unref()

  return {
    kind: 'lmdb',
    async ensureTopics(specs) {
      assertOpen()
      return track(ensureTopics(store, specs))
    },
    async describe(topic) {
      assertOpen()
      store.refresh()
      return topicInfo(topic, topicRow(store, topic))
    },
    async ends(topic) {
      assertOpen()
      store.refresh()
      const { epoch, partitions } = topicRow(store, topic)
      return Array.from({ length: partitions }, (_, partition) => {
        const { start, end } = endsOf(store, epoch, partition)
        return { partition, start: BigInt(start), end: BigInt(end) }
      })
    },
    async append(topic: string, messages: readonly LogMessage[]) {
      assertOpen()
      return queue.append(topic, messages)
    },
    follow(topic, apply, signal, from) {
      const following = follow(store, topic, apply, AbortSignal.any([signal, closing.signal]), from)
      void track(following.done).catch(() => {}) // the caller has it
      return following
    },
    async consume(consume: ConsumeOptions, handler: ClaimHandler) {
      assertOpen()
      store.refresh()
      const signal = AbortSignal.any([consume.signal, closing.signal])
      const consumer = new GroupConsumer(store, { ...consume, signal }, { handler, times, logger })
      if (signal.aborted) return
      consumers.add(consumer)
      try {
        await track(consumer.run())
      } finally {
        consumers.delete(consumer)
      }
    },
    async committed(topic, group) {
      assertOpen()
      store.refresh()
      return committedOffsets(store, topicRow(store, topic).epoch, group)
    },
    async ping() {
      assertOpen()
      await queue.probe()
    },
    sweep: () => sweepNow(true),
    readAheadBytes: () => [...consumers].reduce((sum, consumer) => sum + consumer.budget.bytes, 0),
    async close() {
      if (closing.signal.aborted) return
      clearInterval(timer)
      closing.abort()
      await queue.idle()
      await Promise.all(running)
      await store.release()
    },
  }
}

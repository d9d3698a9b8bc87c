import { AppError } from '../../errors.ts'
import type { EventLog, FollowFrom, LogRecord } from '../port.ts'
import { KafkaConnection } from './connection.ts'
import { FetchLoop, type Cursor } from './fetch-loop.ts'
import type { KafkaSettings } from './settings.ts'
import { describeTopic, topicEnds } from './topics.ts'

const ROOM_BYTES = 4 << 20

/** As the port's `follow`: plain reads, so that no group is left behind on the brokers. */
export function follow(
  settings: KafkaSettings,
  topic: string,
  apply: (record: LogRecord) => void,
  signal: AbortSignal,
  from: FollowFrom = 'start',
): ReturnType<EventLog['follow']> {
  const caughtUp = Promise.withResolvers<void>()
  caughtUp.promise.catch(() => {}) // whoever awaits it sees it
  const done = run(settings, { topic, apply, signal, from, onCaughtUp: caughtUp.resolve })
  done.then(
    () => caughtUp.reject(new AppError('LOG_UNAVAILABLE', 'following was stopped', { details: { topic } })),
    caughtUp.reject,
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

async function run(settings: KafkaSettings, { topic, apply, signal, from, onCaughtUp }: Following): Promise<void> {
  if (signal.aborted) return
  const connection = new KafkaConnection(settings, 'follow')
  const stop = new AbortController()
  const onAbort = () => stop.abort()
  signal.addEventListener('abort', onAbort, { once: true })
  let failure: { readonly error: unknown } | undefined
  try {
    const { epoch } = await describeTopic(connection, topic)
    const parts = (await topicEnds(connection, topic)).map(({ partition, start, end }) => ({
      partition,
      first: from === 'end' ? end : start,
      end,
    }))
    const behind = new Map(parts.filter(({ first, end }) => end > first).map(({ partition, end }) => [partition, end]))
    if (behind.size === 0) onCaughtUp()
    const cursors = parts.map(
      ({ partition, first }): Cursor => ({
        partition,
        position: first,
        room: () => ROOM_BYTES,
        get eager() {
          return behind.size > 0
        },
        take(records, next) {
          for (const record of records) {
            if (stop.signal.aborted) return record.offset
            try {
              apply(record)
            } catch (error) {
              failure = { error }
              stop.abort()
              return record.offset
            }
          }
          return next
        },
        caughtUpTo(offset) {
          const end = behind.get(partition)
          if (end === undefined || offset < end || stop.signal.aborted) return
          behind.delete(partition)
          if (behind.size === 0) onCaughtUp()
        },
      }),
    )
    await new FetchLoop({ connection, topic, epoch, cursors, signal: stop.signal }).run()
  } catch (error) {
    failure ??= { error }
  } finally {
    signal.removeEventListener('abort', onAbort)
    void connection.close().catch(() => {}) // takes as long as the read that still waits on the broker
  }
  if (failure !== undefined && !(signal.aborted && failure.error instanceof AppError)) throw failure.error
}

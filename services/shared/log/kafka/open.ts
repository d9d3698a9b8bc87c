import type { EventLog } from '../port.ts'
import { AppError } from '../../errors.ts'
import { AppendQueue } from './append-queue.ts'
import { KafkaConnection } from './connection.ts'
import { isLoginRefused, unavailable } from './errors.ts'
import { GroupConsumer } from './consumer.ts'
import { follow } from './follow.ts'
import { committedOffsets } from './membership.ts'
import { quietLogger } from './quiet-logger.ts'
import { withDefaults, type KafkaLogSettings } from './settings.ts'
import { describeTopic, ensureTopics, topicEnds } from './topics.ts'

export type { KafkaLogger, KafkaLogSettings, KafkaSasl } from './settings.ts'

export interface KafkaLog extends EventLog {
  readonly kind: 'kafka'
  /** Bytes that all consumers of this log hold ahead of their handlers. */
  readAheadBytes(): number
  /** Bytes that wait in front of the log, those on their way included. */
  queuedBytes(): number
}

/**
 * The log on Apache Kafka (3.0 and newer), through kafkajs's connections. Connects at once, so that wrong settings are
 * noticed at the start: rejects with LOG_UNAVAILABLE when no broker answers, with CONFIG_INVALID when they refuse the
 * user.
 */
export async function openKafkaLog(settings: KafkaLogSettings): Promise<KafkaLog> {
  const all = withDefaults({ ...settings, logger: quietLogger(settings.logger) })
  if (all.heartbeatMs * 2 > all.sessionTimeoutMs) {
    throw new AppError('CONFIG_INVALID', 'a session has to be at least twice as long as the time between heartbeats')
  }
  const connection = new KafkaConnection(all, 'log')
  try {
    await connection.retrying('connecting to Kafka', () => connection.anyBroker())
  } catch (error) {
    await connection.close().catch(() => {})
    if (!isLoginRefused(error)) throw error
    throw new AppError('CONFIG_INVALID', 'the Kafka brokers refuse this user', { cause: error })
  }
  const queue = new AppendQueue(connection)
  const readAhead = { bytes: 0 }
  const working = new Set<Promise<unknown>>()
  const closing = new AbortController()

  const whileOpen = <T>(work: Promise<T>): Promise<T> => {
    working.add(work)
    const forget = () => working.delete(work)
    work.then(forget, forget)
    return work
  }

  return {
    kind: 'kafka',
    ensureTopics: (topics) => ensureTopics(connection, topics),
    async describe(topic) {
      const { name, partitions, epoch } = await describeTopic(connection, topic)
      return { name, partitions, epoch }
    },
    ends: (topic) => topicEnds(connection, topic),
    append: (topic, messages) => queue.append(topic, messages),
    follow(topic, apply, signal, from) {
      const following = follow(all, topic, apply, AbortSignal.any([signal, closing.signal]), from)
      whileOpen(following.done).catch(() => {})
      return following
    },
    consume(options, handler) {
      const signal = AbortSignal.any([options.signal, closing.signal])
      return whileOpen(new GroupConsumer({ ...options, signal }, handler, { side: connection, readAhead }).run())
    },
    async committed(topic, group) {
      const { leaders } = await describeTopic(connection, topic)
      return committedOffsets(connection, { topic, group, partitions: leaders.keys() })
    },
    async ping() {
      try {
        const broker = await connection.anyBroker()
        await broker.apiVersions()
      } catch (error) {
        throw unavailable('no Kafka broker answers', error)
      }
    },
    async close() {
      closing.abort()
      await Promise.allSettled(working)
      await queue.close()
      await connection.close()
    },
    readAheadBytes: () => readAhead.bytes,
    queuedBytes: () => queue.bytes,
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import type { PartitionEnds, TopicInfo, TopicSpec } from '../port.ts'
import type { KafkaConnection } from './connection.ts'
import { CODE, typeOf } from './errors.ts'
import { METADATA_API, metadata } from './wire.ts'

const TOPIC_RESOURCE = 2
const EARLIEST = -2
const LATEST = -1
const VISIBLE_WITHIN_MS = 15_000
/** Time for a topic that another broker has just made to be known to the one that is asked. */
const NEWS_MS = 250

export interface TopicState extends TopicInfo {
  readonly leaders: ReadonlyMap<number, number>
}

export interface TopicRules {
  readonly compacted: boolean
  readonly maxMessageBytes: number
}

/** What the brokers know of a topic now; undefined when it is not there. Its epoch is Kafka's own topic id. */
export async function lookUp(connection: KafkaConnection, name: string): Promise<TopicState | undefined> {
  const broker = await connection.anyBroker()
  const newest = broker.versions?.[METADATA_API.key]?.maxVersion ?? 0
  if (newest < METADATA_API.version) {
    throw new AppError('CONFIG_INVALID', 'the Kafka brokers are older than 3.0, which has no topic ids')
  }
  const { errorCode, id, leaders } = await connection.send(broker, metadata(name))
  if (errorCode === CODE.UNKNOWN_TOPIC_OR_PARTITION) return undefined
  if (errorCode === CODE.TOPIC_AUTHORIZATION_FAILED) {
    throw new AppError('CONFIG_INVALID', 'this user may not see the topic', { details: { topic: name } })
  }
  if (errorCode !== CODE.NONE) {
    throw new AppError('LOG_UNAVAILABLE', 'the topic cannot be described now', { details: { topic: name, errorCode } })
  }
  return { name, partitions: leaders.size, epoch: id.toString('base64url'), leaders }
}

/** As the port's `describe`, with the partitions' leaders. */
export async function describeTopic(connection: KafkaConnection, name: string): Promise<TopicState> {
  const found = await connection.retrying('describing a topic', async () => {
    const first = await lookUp(connection, name)
    if (first !== undefined) return first
    await sleep(NEWS_MS)
    return lookUp(connection, name)
  })
  if (found === undefined) {
    throw new AppError('LOG_UNAVAILABLE', 'the topic is not there', { details: { topic: name } })
  }
  return found
}

/** The settings of a topic that decide what may be appended to it. */
export async function topicRules(connection: KafkaConnection, name: string): Promise<TopicRules> {
  return connection.retrying('reading a topic’s settings', async () => {
    const broker = await connection.anyBroker()
    const answer = await broker.describeConfigs({
      resources: [{ type: TOPIC_RESOURCE, name, configNames: ['cleanup.policy', 'max.message.bytes'] }],
    })
    const entries = new Map(
      answer.resources.flatMap(({ configEntries }) => configEntries.map((e) => [e.configName, e.configValue])),
    )
    return {
      compacted: entries.get('cleanup.policy')?.includes('compact') === true,
      maxMessageBytes: Number(entries.get('max.message.bytes') ?? 1_048_588),
    }
  })
}

/** As the port's `ensureTopics`. Settings of topics that are there are left alone: they are the operator's. */
export async function ensureTopics(connection: KafkaConnection, specs: readonly TopicSpec[]): Promise<TopicInfo[]> {
  const states = await Promise.all(
    specs.map(({ name }) => connection.retrying('describing a topic', () => lookUp(connection, name))),
  )
  const missing = specs.filter((_, i) => states[i] === undefined)
  if (missing.length > 0) await createTopics(connection, missing)
  const infos: TopicInfo[] = []
  for (const spec of specs) infos.push(await check(connection, spec))
  return infos
}

async function createTopics(connection: KafkaConnection, specs: readonly TopicSpec[]): Promise<void> {
  const { replicationFactor, minInsyncReplicas } = connection.settings
  const topics = specs.map((spec) => ({
    topic: spec.name,
    numPartitions: spec.partitions,
    replicationFactor,
    configEntries: Object.entries({
      'cleanup.policy': spec.compacted ? 'compact' : 'delete',
      // Times are the log's, so that retention does not depend on the clocks of those who write.
      'message.timestamp.type': 'LogAppendTime',
      ...(spec.retentionMs === undefined ? {} : { 'retention.ms': String(spec.retentionMs) }),
      ...(spec.retentionBytes === undefined ? {} : { 'retention.bytes': String(spec.retentionBytes) }),
      ...(minInsyncReplicas === undefined ? {} : { 'min.insync.replicas': String(minInsyncReplicas) }),
    }).map(([name, value]) => ({ name, value })),
  }))
  for (const topic of topics) {
    await connection.retrying('making a topic', async () => {
      const broker = await connection.anyBroker()
      try {
        await broker.createTopics({ topics: [topic], timeout: 10_000 })
      } catch (error) {
        if (createErrorType(error) === 'TOPIC_ALREADY_EXISTS') return
        const type = createErrorType(error)
        // Too few brokers for the replicas wanted is left to be tried again: others may be starting.
        if (type !== undefined && /^(INVALID_(?!REPLICATION)|POLICY_|TOPIC_AUTH|CLUSTER_AUTH)/.test(type)) {
          throw new AppError('CONFIG_INVALID', 'the brokers refuse to make the topic', {
            cause: error,
            details: { topic: topic.topic, answer: type },
          })
        }
        throw error
      }
    })
  }
}

/** kafkajs wraps the answers for each topic in an aggregate. */
function createErrorType(error: unknown): string | undefined {
  if (error instanceof Error && 'errors' in error && Array.isArray(error.errors)) return typeOf(error.errors[0])
  return typeOf(error)
}

async function check(connection: KafkaConnection, spec: TopicSpec): Promise<TopicInfo> {
  const deadline = performance.now() + VISIBLE_WITHIN_MS
  let state = await describeTopic(connection, spec.name)
  while ([...state.leaders.values()].includes(-1) && performance.now() < deadline) {
    await sleep(50)
    state = await describeTopic(connection, spec.name)
  }
  const { name, partitions, epoch } = state
  if (partitions < spec.partitions) {
    throw new AppError('CONFIG_INVALID', 'the topic has fewer partitions than asked for', {
      details: { topic: name, partitions, wanted: spec.partitions },
    })
  }
  const { compacted } = await topicRules(connection, name)
  if (compacted !== spec.compacted) {
    throw new AppError('CONFIG_INVALID', 'the topic has another cleanup rule', { details: { topic: name, compacted } })
  }
  return { name, partitions, epoch }
}

/** As the port's `ends`. */
export async function topicEnds(connection: KafkaConnection, topic: string): Promise<PartitionEnds[]> {
  await describeTopic(connection, topic) // says at once that a topic is not there; below it would be tried again
  return connection.retrying('asking for the ends of a topic', async () => {
    const { leaders } = await describeTopic(connection, topic)
    const [starts, ends] = await Promise.all(
      [EARLIEST, LATEST].map((timestamp) => offsetsAt(connection, topic, leaders, timestamp)),
    )
    return [...leaders.keys()]
      .toSorted((a, b) => a - b)
      .map((partition) => ({
        partition,
        start: starts?.get(partition) ?? 0n,
        end: ends?.get(partition) ?? 0n,
      }))
  })
}

async function offsetsAt(
  connection: KafkaConnection,
  topic: string,
  leaders: ReadonlyMap<number, number>,
  timestamp: number,
): Promise<Map<number, bigint>> {
  const byLeader = Map.groupBy(leaders, ([, leader]) => leader)
  const answers = await Promise.all(
    [...byLeader].map(async ([leader, led]) => {
      const broker = await connection.broker(leader, topic)
      const partitions = led.map(([partition]) => ({ partition, timestamp }))
      return broker.listOffsets({ replicaId: -1, isolationLevel: 0, topics: [{ topic, partitions }] })
    }),
  )
  return new Map(
    answers.flatMap(({ responses }) =>
      responses.flatMap(({ partitions }) => partitions.map((p): [number, bigint] => [p.partition, BigInt(p.offset)])),
    ),
  )
}

import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import type { LogMessage } from '../port.ts'
import type { KafkaConnection } from './connection.ts'
import { unavailable } from './errors.ts'
import { type Batch, type Call, Lane } from './lane.ts'
import { BATCH_OVERHEAD_BYTES, type Producer, recordBytesMax } from './record-batch.ts'
import { newProducer, sendBatches } from './send.ts'
import { describeTopic, lookUp, topicRules, type TopicRules, type TopicState } from './topics.ts'

const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1_000

interface OpenTopic extends TopicRules {
  state: TopicState
  readonly lanes: Map<number, Lane>
}

/**
 * Gathers calls per partition and writes them in large batches. A partition has one batch on its way at a time: what
 * arrives meanwhile makes the next one, so batches grow with the load and a retry cannot reorder a partition. When no
 * batch of a partition is on its way, a message waits `lingerMs` for company.
 */
export class AppendQueue {
  readonly #connection: KafkaConnection
  readonly #topics = new Map<string, Promise<OpenTopic>>()
  readonly #open = new Map<string, OpenTopic>()
  readonly #sending = new Set<Promise<void>>()
  #bytes = 0
  #linger: NodeJS.Timeout | undefined
  #closed = false

  constructor(connection: KafkaConnection) {
    this.#connection = connection
  }

  /** Bytes that wait or are on their way. */
  get bytes(): number {
    return this.#bytes
  }

  /** As the port's `append`. Rejects with LOG_REJECTED what can never be taken. */
  async append(topic: string, messages: readonly LogMessage[]): Promise<ReadonlyMap<number, bigint>> {
    if (this.#closed) throw new AppError('LOG_UNAVAILABLE', 'the log is closed')
    const bytes = messages.reduce((sum, message) => sum + recordBytesMax(message), 0)
    const { queueBytesMax } = this.#connection.settings
    if (bytes > queueBytesMax) {
      throw new AppError('LOG_REJECTED', 'larger than the whole queue', { details: { topic, bytes, queueBytesMax } })
    }
    if (this.#bytes + bytes > queueBytesMax) {
      throw new AppError('LOG_BUSY', 'the queue in front of the log is full', { details: { topic }, retryAfterS: 1 })
    }
    this.#bytes += bytes
    try {
      const target = this.#open.get(topic) ?? (await this.#openTopic(topic))
      validate(target, messages)
      if (messages.length === 0) return new Map()
      return await this.#enqueue(target, messages)
    } finally {
      this.#bytes -= bytes
    }
  }

  /** Resolves once nothing waits any more, sent or given up. Takes nothing from now on. */
  async close(): Promise<void> {
    this.#closed = true
    this.#flush()
    while (this.#sending.size > 0) await Promise.all(this.#sending)
  }

  #openTopic(name: string): Promise<OpenTopic> {
    const known = this.#topics.get(name)
    if (known !== undefined) return known
    const opening = (async () => {
      const [state, rules] = await Promise.all([
        describeTopic(this.#connection, name),
        topicRules(this.#connection, name),
      ])
      const topic: OpenTopic = { ...rules, state, lanes: new Map() }
      this.#open.set(name, topic)
      return topic
    })()
    this.#topics.set(name, opening)
    opening.catch(() => this.#topics.delete(name))
    return opening
  }

  #enqueue(topic: OpenTopic, messages: readonly LogMessage[]): Promise<ReadonlyMap<number, bigint>> {
    const perPartition = Map.groupBy(messages, ({ partition }) => partition)
    return new Promise((resolve, reject) => {
      const call: Call = {
        last: new Map<number, bigint>(),
        waitingFor: perPartition.size,
        failed: false,
        resolve,
        reject,
        deadlineMs: performance.now() + this.#connection.settings.deliveryTimeoutMs,
      }
      for (const [partition, list] of perPartition) {
        let lane = topic.lanes.get(partition)
        if (lane === undefined) {
          lane = new Lane(partition)
          topic.lanes.set(partition, lane)
        }
        lane.push(call, list)
      }
      this.#schedule(topic, perPartition.keys())
    })
  }

  #schedule(topic: OpenTopic, partitions: Iterable<number>): void {
    const { batchBytesMax, batchMessagesMax, lingerMs } = this.#connection.settings
    const nowMs = performance.now()
    for (const partition of partitions) {
      const lane = topic.lanes.get(partition)
      if (lane?.isReady(nowMs) === true && lane.isFull(batchMessagesMax, batchBytesMax)) return this.#flush()
    }
    this.#linger ??= setTimeout(() => this.#flush(), lingerMs)
  }

  /** Sends what every idle partition has, one request for each broker. */
  #flush(): void {
    clearTimeout(this.#linger)
    this.#linger = undefined
    const nowMs = performance.now()
    for (const topic of this.#open.values()) {
      const ready = [...topic.lanes.values()].filter((lane) => lane.isReady(nowMs))
      for (const [leader, lanes] of Map.groupBy(ready, ({ partition }) => topic.state.leaders.get(partition) ?? -1)) {
        const sending = this.#send(topic, leader, lanes)
        this.#sending.add(sending)
        void sending.finally(() => {
          this.#sending.delete(sending)
          if (lanes.some((lane) => lane.isReady(performance.now()))) this.#flush()
        })
      }
    }
  }

  async #send(topic: OpenTopic, leader: number, lanes: readonly Lane[]): Promise<void> {
    const { batchBytesMax, batchMessagesMax } = this.#connection.settings
    const bytesMax = Math.min(batchBytesMax, topic.maxMessageBytes - BATCH_OVERHEAD_BYTES)
    for (const lane of lanes) lane.busy = true
    const { named, failure: nameless } = await this.#nameProducers(lanes)
    const outgoing = named
      .map(({ lane, producer }) => ({
        lane,
        producer,
        partition: lane.partition,
        batch: lane.next(batchMessagesMax, bytesMax),
      }))
      .filter((one): one is typeof one & { batch: Batch } => one.batch !== undefined)
    const results = await sendBatches(this.#connection, { topic: topic.state.name, leader }, outgoing)
    let failure = nameless
    for (const [i, { lane, batch }] of outgoing.entries()) {
      const result = results[i]
      if (result?.kind === 'written') {
        lane.written(result.base)
        lane.restMs = 0
      } else if (result?.kind === 'retry') {
        failure = result
        batch.isInDoubt = true
        rest(lane)
      } else if (result?.kind === 'disowned') {
        failure = result
        lane.disowned(unavailable('the log did not confirm an append', result.error))
        rest(lane)
      } else {
        lane.refused(unavailable('the log refused an append', result?.error))
      }
    }
    for (const lane of lanes) lane.busy = false
    if (failure !== undefined) await this.#recover(topic, lanes, failure.error)
  }

  /** The lanes with their producers; `failure` says why some are left out for now. */
  async #nameProducers(
    lanes: readonly Lane[],
  ): Promise<{ named: { lane: Lane; producer: Producer }[]; failure: { error: unknown } | undefined }> {
    const named: { lane: Lane; producer: Producer }[] = []
    let failure: { error: unknown } | undefined
    for (const lane of lanes) {
      try {
        lane.producer ??= await newProducer(this.#connection)
        named.push({ lane, producer: lane.producer })
      } catch (error) {
        failure = { error }
        rest(lane)
      }
    }
    return { named, failure }
  }

  /** Waits, gives up what has waited too long, and asks who leads the partitions now. */
  async #recover(topic: OpenTopic, lanes: readonly Lane[], cause: unknown): Promise<void> {
    const { name, epoch } = topic.state
    const { logger } = this.#connection.settings
    logger.warn({ error: cause, topic: name }, 'an append is tried again')
    await sleep(Math.max(...lanes.map(({ restMs }) => restMs)))
    await this.#connection.refresh()
    const error = unavailable('the log did not confirm an append', cause)
    const state = await lookUp(this.#connection, name).catch(() => undefined)
    if (state === undefined) {
      // Nobody answers, or the topic is away: tried again, with the send, until the calls' deadline.
      for (const lane of topic.lanes.values()) lane.expire(performance.now(), error)
    } else if (state.epoch === epoch) {
      topic.state = state
      for (const lane of topic.lanes.values()) lane.expire(performance.now(), error)
    } else {
      // Made again under this name: what was meant for the old topic is not for the new one.
      this.#topics.delete(name)
      this.#open.delete(name)
      for (const lane of topic.lanes.values()) lane.expire(Number.POSITIVE_INFINITY, error)
    }
  }
}

function rest(lane: Lane): void {
  lane.restMs = Math.min(Math.max(2 * lane.restMs, RETRY_MS_MIN), RETRY_MS_MAX)
  lane.restUntilMs = performance.now() + lane.restMs
}

function validate({ state, compacted, maxMessageBytes }: OpenTopic, messages: readonly LogMessage[]): void {
  const topic = state.name
  for (const message of messages) {
    const { partition } = message
    if (!state.leaders.has(partition)) {
      throw new AppError('LOG_REJECTED', 'topic does not have this partition', { details: { topic, partition } })
    }
    if (compacted && message.key === null) {
      throw new AppError('LOG_REJECTED', 'a compacted topic takes no message without a key', { details: { topic } })
    }
    const bytes = recordBytesMax(message) + BATCH_OVERHEAD_BYTES
    if (bytes > maxMessageBytes) {
      throw new AppError('LOG_REJECTED', 'a message is larger than the topic takes', {
        details: { topic, bytes, maxMessageBytes },
      })
    }
  }
}

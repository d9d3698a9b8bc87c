import { setTimeout as sleep } from 'node:timers/promises'
import { isFatal, unavailable } from './errors.ts'
import { createCluster, type Broker, type Cluster, type Protocol } from './kafkajs-parts.ts'
import type { KafkaSettings } from './settings.ts'

const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1_000

/** A cluster's connections for one purpose: waiting reads hold a connection up, so each follower and consumer has its own. */
export class KafkaConnection {
  readonly cluster: Cluster
  readonly settings: KafkaSettings
  #topics = new Set<string>()

  constructor(settings: KafkaSettings, purpose: string) {
    const { brokers, clientId, ssl, sasl, connectionTimeoutMs, requestTimeoutMs, logger } = settings
    this.settings = settings
    this.cluster = createCluster({
      brokers,
      clientId,
      ...(ssl === undefined || ssl === false ? {} : { ssl }),
      // A copy for each: kafkajs keeps the first password it has used in the object it is given.
      ...(sasl === undefined ? {} : { sasl: { ...sasl } }),
      connectionTimeoutMs,
      requestTimeoutMs,
      // What matters of it comes back as an error, once, from the loop that tried; the rest is noise about attempts.
      log: ({ namespace, log }) => logger.warn({ kafkajs: namespace, broker: log['broker'], purpose }, log.message),
    })
  }

  /** Any broker that answers. */
  async anyBroker(): Promise<Broker> {
    await this.cluster.connect()
    return this.cluster.brokerPool.findConnectedBroker()
  }

  /** The broker that leads partitions, by its id; `topic` is what makes the client ask where brokers are. */
  async broker(nodeId: number, topic: string): Promise<Broker> {
    await this.know(topic)
    return this.cluster.findBroker({ nodeId })
  }

  async coordinator(groupId: string, topic: string): Promise<Broker> {
    await this.know(topic)
    return this.cluster.findGroupCoordinator({ groupId })
  }

  async know(topic: string): Promise<void> {
    await this.cluster.connect()
    if (this.#topics.has(topic)) return
    await this.cluster.addMultipleTargetTopics([topic])
    this.#topics.add(topic)
  }

  async send<T>(broker: Broker, protocol: Protocol<T>): Promise<T> {
    try {
      return await broker.connectionPool.send(protocol)
    } catch (error) {
      if (error instanceof Error && error.name === 'KafkaJSConnectionClosedError') await broker.disconnect()
      throw error
    }
  }

  /** Asks the brokers anew who they are and what they lead; failing to is the next request's problem. */
  async refresh(): Promise<void> {
    try {
      await this.cluster.connect()
      await this.cluster.refreshMetadata()
    } catch {
      // The next request meets the same trouble and reports it.
    }
  }

  /**
   * Tries until it works, with growing pauses, for as long as `timeoutMs`. Rejects with LOG_UNAVAILABLE, or at once with
   * what cannot get better by trying.
   */
  async retrying<T>(what: string, work: () => Promise<T>, timeoutMs = this.settings.requestTimeoutMs): Promise<T> {
    const deadline = performance.now() + timeoutMs
    for (let pauseMs = RETRY_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, RETRY_MS_MAX)) {
      try {
        return await work()
      } catch (error) {
        if (isFatal(error) || performance.now() + pauseMs > deadline) throw unavailable(`${what} failed`, error)
        await sleep(pauseMs)
        await this.refresh()
      }
    }
  }

  close(): Promise<void> {
    return this.cluster.disconnect()
  }
}

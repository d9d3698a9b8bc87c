import { createRequire } from 'node:module'
import type { AssignerProtocol, ISocketFactory, KafkaConfig, LogEntry, SASLOptions } from 'kafkajs'

/**
 * The parts of kafkajs 2.2.4 that this adapter stands on: connections with TLS and SASL, the pool of brokers, and the
 * group and admin requests. Its producer and consumer are left out, because of what they do under load and failure
 * (quadratic grouping, a retry that moves messages, commits that resolve without having been sent, no way to see the
 * last offset of an emptied batch). kafkajs gets no releases any more, and package.json pins this one, so that these inner
 * modules stay as they are; this file is the only one that knows where they live.
 */

/** What a kafkajs connection sends: it adds length, header and correlation id, and hands back what follows them. */
export interface Protocol<T> {
  readonly request: {
    readonly apiKey: number
    readonly apiVersion: number
    readonly apiName: string
    /** An Encoder of kafkajs; see `encodable`. */
    encode(): Promise<unknown>
  }
  readonly response: { decode(raw: Buffer): Promise<T>; parse(data: T): Promise<T> }
  readonly requestTimeout?: number
}

export interface GroupMember {
  readonly memberId: string
  readonly memberMetadata: Buffer
}

interface PartitionOffset {
  readonly partition: number
  readonly offset: string
  readonly metadata?: string | null
  readonly errorCode?: number
}

interface TopicPartitions<P> {
  readonly topic: string
  readonly partitions: readonly P[]
}

export interface Broker {
  readonly nodeId: string | number | null
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null
  readonly connectionPool: { send<T>(protocol: Protocol<T>): Promise<T> }
  /** Answers with a request of the newest version that both sides know. */
  lookupRequest<R>(apiKey: number, definition: unknown): (options: object) => Protocol<R>
  apiVersions(): Promise<unknown>
  isConnected(): boolean
  connect(): Promise<void>
  disconnect(): Promise<void>
  heartbeat(o: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>
  leaveGroup(o: { groupId: string; memberId: string }): Promise<unknown>
  syncGroup(o: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: readonly { memberId: string; memberAssignment: Buffer }[]
  }): Promise<{ readonly memberAssignment: Buffer }>
  offsetCommit(o: {
    groupId: string
    groupGenerationId: number
    memberId: string
    topics: readonly TopicPartitions<PartitionOffset>[]
  }): Promise<unknown>
  offsetFetch(o: {
    groupId: string
    topics: readonly TopicPartitions<{ readonly partition: number }>[]
  }): Promise<{ readonly responses: readonly TopicPartitions<PartitionOffset>[] }>
  listOffsets(o: {
    replicaId: number
    isolationLevel: number
    topics: readonly TopicPartitions<{ readonly partition: number; readonly timestamp: number }>[]
  }): Promise<{ readonly responses: readonly TopicPartitions<PartitionOffset>[] }>
  initProducerId(o: {
    readonly transactionTimeout: number
  }): Promise<{ readonly producerId: string; readonly producerEpoch: number }>
  createTopics(o: {
    topics: readonly {
      topic: string
      numPartitions: number
      replicationFactor: number
      configEntries: readonly { name: string; value: string }[]
    }[]
    timeout: number
  }): Promise<unknown>
  describeConfigs(o: {
    resources: readonly { type: number; name: string; configNames: readonly string[] }[]
  }): Promise<{
    readonly resources: readonly {
      readonly resourceName: string
      readonly configEntries: readonly { readonly configName: string; readonly configValue: string }[]
    }[]
  }>
}

export interface Cluster {
  readonly brokerPool: { findConnectedBroker(): Promise<Broker> }
  connect(): Promise<void>
  disconnect(): Promise<void>
  refreshMetadata(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  findBroker(o: { nodeId: number | string }): Promise<Broker>
  findGroupCoordinator(o: { groupId: string }): Promise<Broker>
}

export interface ClusterOptions {
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly ssl?: NonNullable<KafkaConfig['ssl']>
  readonly sasl?: SASLOptions
  readonly connectionTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly log: (entry: LogEntry) => void
}

/** What a JoinGroup is answered with. */
export interface Joined {
  readonly generationId: number
  readonly leaderId: string
  readonly memberId: string
  readonly members: readonly GroupMember[]
}

interface RequestQueue {
  pending: readonly unknown[]
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
  scheduleCheckPendingRequests(): void
}

const require = createRequire(import.meta.url)
const load = (path: string): unknown => require(`kafkajs/src/${path}`)

const ClusterClass = load('cluster/index.js') as new (options: object) => Cluster
const loggers = load('loggers/index.js') as { createLogger(options: object): unknown }
const socketFactory = load('network/socketFactory.js') as () => ISocketFactory
const { requests } = load('protocol/requests/index.js') as { requests: { JoinGroup: unknown } }
const Encoder = load('protocol/encoder.js') as new (sizeBytes: number) => object
const RequestQueueClass = load('network/requestQueue/index.js') as { prototype: RequestQueue }

/** The wire format of a group's subscriptions and assignments, which kafkajs does export. */
export const { MemberAssignment, MemberMetadata } = load('consumer/assignerProtocol.js') as typeof AssignerProtocol

const LEVEL_WARN = 2
const PENDING_CHECK_MS = 10
const JOIN_GROUP_API = 11

/**
 * kafkajs arms a timer with a negative delay after every answer, which Node takes for 1 ms, and whose callback arms the next:
 * each idle connection spins, and Node 24 prints a warning. A check is of use only while requests wait.
 */
function stopIdleSpinning(queue: RequestQueue): void {
  queue.scheduleCheckPendingRequests = function schedule(this: RequestQueue) {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
    const throttledMs = this.throttledUntil - Date.now()
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null
        this.checkPendingRequests()
      },
      throttledMs > 0 ? throttledMs : PENDING_CHECK_MS,
    )
  }
}
stopIdleSpinning(RequestQueueClass.prototype)

/** Bytes in the one shape that a kafkajs connection takes a request's body in; they are not copied. */
export const encodable = (bytes: Buffer): unknown => Object.assign(new Encoder(1), { buf: bytes, offset: bytes.length })

/** A pool of connections to the brokers of one cluster; nothing is connected yet. */
export function createCluster(options: ClusterOptions): Cluster {
  const logger = loggers.createLogger({ level: LEVEL_WARN, logCreator: () => options.log })
  return new ClusterClass({
    logger,
    socketFactory: socketFactory(),
    brokers: options.brokers,
    clientId: options.clientId,
    ssl: options.ssl,
    sasl: options.sasl,
    connectionTimeout: options.connectionTimeoutMs,
    authenticationTimeout: options.connectionTimeoutMs,
    requestTimeout: options.requestTimeoutMs,
    enforceRequestTimeout: true,
    metadataMaxAge: 300_000,
    allowAutoTopicCreation: false,
    // Few and short: our own loops try again, and know for how long.
    retry: { retries: 2, initialRetryTime: 50, maxRetryTime: 500 },
  })
}

/** JoinGroup without the retry inside kafkajs, which hides the member id that a leave needs while a join still waits. */
export const joinGroupRequest = (
  broker: Broker,
  options: {
    readonly groupId: string
    readonly memberId: string
    readonly sessionTimeout: number
    readonly rebalanceTimeout: number
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[]
  },
): Protocol<Joined> =>
  broker.lookupRequest<Joined>(JOIN_GROUP_API, requests.JoinGroup)({ protocolType: 'consumer', ...options })

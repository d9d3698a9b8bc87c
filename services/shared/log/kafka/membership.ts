import { AppError } from '../../errors.ts'
import type { CommittedOffset } from '../port.ts'
import type { KafkaConnection } from './connection.ts'
import { isFatal, typeOf, unavailable } from './errors.ts'
import { joinGroupRequest, MemberAssignment, MemberMetadata, type Broker, type Joined } from './kafkajs-parts.ts'
import { describeTopic } from './topics.ts'

const PROTOCOL = 'RoundRobinAssigner'
const COMMIT_RETRY_MS = 10_000

/** One generation of a group, as this member takes part in it. What it commits is refused once the next one has begun. */
export interface Generation {
  readonly id: number
  readonly memberId: string
  readonly partitions: readonly number[]
}

export type HeartbeatAnswer = 'steady' | 'rebalancing' | 'expelled'

const EXPELLED = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID'])
/** Definite answers that nothing was committed because the group has moved on. */
const FENCING = new Set([...EXPELLED, 'REBALANCE_IN_PROGRESS'])

/** One member of a consumer group: Kafka's classic group protocol, a request at a time. */
export class Membership {
  readonly #connection: KafkaConnection
  /** Another way to the brokers, for what must not wait behind a join. */
  readonly #side: KafkaConnection
  readonly #group: string
  readonly #topic: string
  #memberId = ''
  #coordinator: Broker | undefined
  #left = false

  constructor(
    connections: { readonly own: KafkaConnection; readonly side: KafkaConnection },
    group: string,
    topic: string,
  ) {
    this.#connection = connections.own
    this.#side = connections.side
    this.#group = group
    this.#topic = topic
  }

  /** Waits until the group has formed and says what this member holds in it. Rejects with what kafkajs says; try again. */
  async join(): Promise<Generation> {
    try {
      this.#coordinator = undefined
      const coordinator = await this.#findCoordinator()
      const joined = await this.#join(coordinator)
      const isLeader = joined.leaderId === joined.memberId
      const { memberAssignment } = await coordinator.syncGroup({
        groupId: this.#group,
        generationId: joined.generationId,
        memberId: joined.memberId,
        groupAssignment: isLeader ? await this.#assign(joined) : [],
      })
      const mine = MemberAssignment.decode(memberAssignment)?.assignment[this.#topic] ?? []
      return { id: joined.generationId, memberId: joined.memberId, partitions: mine }
    } catch (error) {
      if (EXPELLED.has(typeOf(error) ?? '')) this.#memberId = ''
      throw error
    }
  }

  async #findCoordinator(): Promise<Broker> {
    this.#coordinator ??= await this.#connection.coordinator(this.#group, this.#topic)
    return this.#coordinator
  }

  async #join(coordinator: Broker): Promise<Joined> {
    const { sessionTimeoutMs, rebalanceTimeoutMs } = this.#connection.settings
    const metadata = MemberMetadata.encode({ version: 0, topics: [this.#topic], userData: Buffer.alloc(0) })
    for (;;) {
      try {
        const request = joinGroupRequest(coordinator, {
          groupId: this.#group,
          memberId: this.#memberId,
          sessionTimeout: sessionTimeoutMs,
          rebalanceTimeout: rebalanceTimeoutMs,
          groupProtocols: [{ name: PROTOCOL, metadata }],
        })
        const joined = await this.#connection.send(coordinator, request)
        this.#memberId = joined.memberId
        return joined
      } catch (error) {
        // The first answer to a new member is the name it has to join by.
        if (typeOf(error) !== 'MEMBER_ID_REQUIRED' || this.#memberId !== '') throw error
        if (!(error instanceof Error && 'memberId' in error && typeof error.memberId === 'string')) throw error
        if (this.#left) throw error
        this.#memberId = error.memberId
      }
    }
  }

  /** Deals out each topic's partitions in turn to the members that want it. */
  async #assign({ members }: Joined): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    const wanting = new Map<string, string[]>()
    for (const { memberId, memberMetadata } of members) {
      for (const topic of MemberMetadata.decode(memberMetadata)?.topics ?? []) {
        wanting.set(topic, [...(wanting.get(topic) ?? []), memberId])
      }
    }
    const given = new Map(members.map(({ memberId }): [string, Record<string, number[]>] => [memberId, {}]))
    for (const [topic, wanted] of wanting) {
      const sorted = wanted.toSorted()
      const { leaders } = await describeTopic(this.#connection, topic)
      for (const partition of [...leaders.keys()].toSorted((a, b) => a - b)) {
        const assignment = given.get(sorted[partition % sorted.length] ?? '')
        if (assignment !== undefined) (assignment[topic] ??= []).push(partition)
      }
    }
    return [...given].map(([memberId, assignment]) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({ version: 0, assignment, userData: Buffer.alloc(0) }),
    }))
  }

  /** Tells the group that this member lives. Rejects when the coordinator cannot be asked. */
  async heartbeat(generation: Generation): Promise<HeartbeatAnswer> {
    try {
      const coordinator = await this.#findCoordinator()
      const { id, memberId } = generation
      await coordinator.heartbeat({ groupId: this.#group, groupGenerationId: id, memberId })
      return 'steady'
    } catch (error) {
      const type = typeOf(error) ?? ''
      if (type === 'REBALANCE_IN_PROGRESS') return 'rebalancing'
      if (EXPELLED.has(type)) return 'expelled'
      this.#coordinator = undefined
      throw error
    }
  }

  /**
   * Durable when it resolves, under the generation given and no other: the broker itself refuses what a later one has
   * overtaken. LOG_FENCED means that nothing was committed; LOG_UNAVAILABLE that nobody knows.
   */
  async commit(generation: Generation, partition: number, { offset, metadata }: CommittedOffset): Promise<void> {
    let unknown = false
    const details = { group: this.#group, topic: this.#topic, partition }
    await this.#connection
      .retrying(
        'a commit',
        async () => {
          try {
            const coordinator = await this.#findCoordinator()
            await coordinator.offsetCommit({
              groupId: this.#group,
              groupGenerationId: generation.id,
              memberId: generation.memberId,
              topics: [{ topic: this.#topic, partitions: [{ partition, offset: String(offset), metadata }] }],
            })
          } catch (error) {
            if (!FENCING.has(typeOf(error) ?? '')) {
              unknown ||= !isFatal(error)
              this.#coordinator = undefined
              throw error
            }
            // An earlier try may have been carried out before the group moved on.
            if (unknown) throw new Uncertain('the group moved on while a commit was in doubt', error, details)
            throw fenced(details, error)
          }
        },
        COMMIT_RETRY_MS,
      )
      .catch((error: unknown) => {
        throw error instanceof Uncertain ? unavailable(error.message, error.cause, details) : error
      })
  }

  /** Leaves the group for good, a join that still waits included, so that the others need not wait for the session to run out. */
  async leave(): Promise<void> {
    this.#left = true
    if (this.#memberId === '') return
    const memberId = this.#memberId
    this.#memberId = ''
    try {
      const coordinator = await this.#side.coordinator(this.#group, this.#topic)
      await coordinator.leaveGroup({ groupId: this.#group, memberId })
    } catch (error) {
      const { logger } = this.#side.settings
      logger.warn({ error, group: this.#group }, 'a consumer group was not left; its session will run out')
    }
  }
}

/** Not retried (its policy), and turned into LOG_UNAVAILABLE on the way out. */
class Uncertain extends AppError {
  constructor(message: string, cause: unknown, details: Record<string, unknown>) {
    super('LOG_FENCED', message, { cause, details })
  }
}

export const fenced = (details: Record<string, unknown>, cause?: unknown): AppError =>
  new AppError('LOG_FENCED', 'the partition is not held any more: nothing was committed', {
    details,
    ...(cause === undefined ? {} : { cause }),
  })

/** What a group has committed; partitions without a commit are left out. */
export async function committedOffsets(
  connection: KafkaConnection,
  at: { readonly topic: string; readonly group: string; readonly partitions: Iterable<number> },
): Promise<Map<number, CommittedOffset>> {
  const { topic, group } = at
  const partitions = [...at.partitions].map((partition) => ({ partition }))
  return connection.retrying('reading what a group has committed', async () => {
    const coordinator = await connection.coordinator(group, topic)
    const { responses } = await coordinator.offsetFetch({ groupId: group, topics: [{ topic, partitions }] })
    const found = new Map<number, CommittedOffset>()
    for (const { partition, offset, metadata } of responses.flatMap((response) => response.partitions)) {
      if (BigInt(offset) >= 0n) found.set(partition, { offset: BigInt(offset), metadata: metadata ?? '' })
    }
    return found
  })
}

import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import type { ClaimHandler, CommittedOffset, ConsumeOptions, PartitionClaim } from '../port.ts'
import { KafkaConnection } from './connection.ts'
import { isFatal, unavailable } from './errors.ts'
import { FetchLoop } from './fetch-loop.ts'
import { HeldPartition, type ReadAhead } from './held-partition.ts'
import { committedOffsets, fenced, Membership, type Generation } from './membership.ts'
import { describeTopic, topicEnds } from './topics.ts'

const READ_AHEAD_BYTES = 64 << 20
const METADATA_BYTES_MAX = 4_096
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 3_000

export interface ConsumerDeps {
  /** The log's own connection, for what must not wait behind this consumer's joins. */
  readonly side: KafkaConnection
  readonly readAhead: ReadAhead
}

/** What this member does with one generation of the group, from having joined to joining again. */
interface Term {
  readonly generation: Generation
  readonly epoch: string
  /** Aborts when the partitions have to be given back, whatever the reason. */
  readonly revoke: AbortController
  /** Local fence: from here on nothing of this term is committed. Checked in the tick in which a commit is sent. */
  over: boolean
}

/**
 * One member of a group. Kafka's classic protocol stops everybody for each change of members: every term ends with all
 * handlers returning, or with their claims fenced once `rebalanceTimeoutMs` is nearly up, and only then joins the next.
 */
export class GroupConsumer {
  readonly #connection: KafkaConnection
  readonly #membership: Membership
  readonly #options: ConsumeOptions
  readonly #handler: ClaimHandler
  readonly #deps: ConsumerDeps
  readonly #running = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  #failure: { readonly error: unknown } | undefined

  constructor(options: ConsumeOptions, handler: ClaimHandler, deps: ConsumerDeps) {
    this.#options = options
    this.#handler = handler
    this.#deps = deps
    this.#connection = new KafkaConnection(deps.side.settings, `consume ${options.group}`)
    this.#membership = new Membership({ own: this.#connection, side: deps.side }, options.group, options.topic)
  }

  /** As the port's `consume`. */
  async run(): Promise<void> {
    const { signal, topic } = this.#options
    if (signal.aborted) return
    const onAbort = () => this.#stop.abort()
    signal.addEventListener('abort', onAbort, { once: true })
    setMaxListeners(0, this.#stop.signal)
    try {
      await describeTopic(this.#deps.side, topic)
      await this.#terms()
    } catch (error) {
      this.#fail(error)
    } finally {
      await this.#membership.leave()
      await Promise.all(this.#running)
      signal.removeEventListener('abort', onAbort)
      void this.#connection.close().catch(() => {})
    }
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#stop.abort()
  }

  async #terms(): Promise<void> {
    const { group } = this.#options
    const { logger } = this.#connection.settings
    const stopped = new Promise<undefined>((resolve) =>
      this.#stop.signal.addEventListener('abort', () => resolve(undefined), { once: true }),
    )
    for (let pauseMs = RETRY_MS_MIN; !this.#stop.signal.aborted; ) {
      try {
        const joining = this.#membership.join()
        joining.catch(() => {}) // when nobody waits for it any more
        const generation = await Promise.race([joining, stopped])
        if (generation === undefined) return
        await this.#hold(generation)
        pauseMs = RETRY_MS_MIN
      } catch (error) {
        if (this.#stop.signal.aborted) return
        if (isFatal(error)) throw unavailable('the consumer group cannot be joined', error, { group })
        logger.warn({ error, group }, 'joining a consumer group is tried again')
        await sleep(pauseMs, undefined, { signal: this.#stop.signal }).catch(() => {})
        pauseMs = Math.min(2 * pauseMs, RETRY_MS_MAX)
        await this.#connection.refresh()
      }
    }
  }

  async #hold(generation: Generation): Promise<void> {
    const { topic, bufferBytesMax = READ_AHEAD_BYTES } = this.#options
    const revoke = new AbortController()
    setMaxListeners(0, revoke.signal)
    const onStop = () => revoke.abort()
    this.#stop.signal.addEventListener('abort', onStop, { once: true })
    if (this.#stop.signal.aborted) revoke.abort()
    const returned = new AbortController()
    const beating = this.#beat(generation, revoke, returned.signal)
    try {
      const { epoch } = await describeTopic(this.#connection, topic)
      const term: Term = { generation, epoch, revoke, over: false }
      const bytesMax = Math.floor(bufferBytesMax / Math.max(generation.partitions.length, 1))
      const slots: HeldPartition[] = []
      const loop = new FetchLoop({ connection: this.#connection, topic, epoch, cursors: slots, signal: revoke.signal })
      for (const partition of generation.partitions) {
        const wantMore = () => loop.wake()
        slots.push(new HeldPartition(partition, { bytesMax, readAhead: this.#deps.readAhead, wantMore }))
      }
      const committed = await this.#committed(generation.partitions)
      const workers = slots.map((slot) => this.#work(term, slot, committed.get(slot.partition)))
      if (slots.length > 0) loop.run().catch((error: unknown) => this.#fail(error))
      await aborted(revoke.signal)
      await this.#returned(workers)
      term.over = true
    } finally {
      this.#stop.signal.removeEventListener('abort', onStop)
      revoke.abort()
      returned.abort()
      await beating
    }
  }

  /** Handlers have until shortly before the group would go on without this member; who stops may take its time. */
  async #returned(workers: readonly Promise<void>[]): Promise<void> {
    const { rebalanceTimeoutMs, heartbeatMs } = this.#connection.settings
    const all = Promise.all(workers)
    if (this.#stop.signal.aborted) return void (await all)
    const done = new AbortController()
    const allowanceMs = Math.max(rebalanceTimeoutMs - 2 * heartbeatMs, rebalanceTimeoutMs / 2)
    const late = sleep(allowanceMs, undefined, { signal: done.signal }).catch(() => {})
    await Promise.race([all, late, Promise.all([aborted(this.#stop.signal, done.signal), all])])
    done.abort()
    if (this.#stop.signal.aborted) await all
  }

  async #committed(partitions: readonly number[]): Promise<Map<number, CommittedOffset>> {
    const { topic, group } = this.#options
    const found = await committedOffsets(this.#connection, { topic, group, partitions })
    if (partitions.some((partition) => !found.has(partition))) {
      for (const { partition, start } of await topicEnds(this.#connection, topic)) {
        if (!found.has(partition)) found.set(partition, { offset: start, metadata: '' })
      }
    }
    return found
  }

  /** Keeps the session alive until `until` aborts, whatever handlers are busy with. */
  async #beat(generation: Generation, revoke: AbortController, until: AbortSignal): Promise<void> {
    const { heartbeatMs, sessionTimeoutMs, logger } = this.#connection.settings
    let heardAtMs = performance.now()
    while (!until.aborted) {
      await sleep(heartbeatMs, undefined, { signal: until }).catch(() => {})
      if (until.aborted) return
      try {
        const answer = await this.#membership.heartbeat(generation)
        heardAtMs = performance.now()
        if (answer !== 'steady') revoke.abort()
        if (answer === 'expelled') return
      } catch (error) {
        logger.warn({ error, group: this.#options.group }, 'a heartbeat was not answered')
        if (performance.now() - heardAtMs > sessionTimeoutMs) revoke.abort()
      }
    }
  }

  /** Runs the handler for as long as the partition is held; again, after a rest, when it returns before that. */
  #work(term: Term, slot: HeldPartition, committed: CommittedOffset | undefined): Promise<void> {
    const work = (async () => {
      let start = committed
      while (start !== undefined && !term.revoke.signal.aborted) {
        await this.#runHandler(term, slot, start)
        if (term.revoke.signal.aborted) return
        const { heartbeatMs } = this.#connection.settings
        await sleep(heartbeatMs, undefined, { signal: term.revoke.signal }).catch(() => {})
        if (!term.revoke.signal.aborted) start = (await this.#committed([slot.partition])).get(slot.partition)
      }
    })().catch((error: unknown) => this.#fail(error))
    this.#running.add(work)
    void work.finally(() => this.#running.delete(work))
    return work
  }

  async #runHandler(term: Term, slot: HeldPartition, committed: CommittedOffset): Promise<void> {
    const { topic, group } = this.#options
    const { partition } = slot
    const ended = new AbortController()
    const onRevoke = () => {
      ended.abort()
      slot.wake()
    }
    let over = false
    term.revoke.signal.addEventListener('abort', onRevoke, { once: true })
    slot.open(committed.offset)
    const claim: PartitionClaim = {
      topic,
      partition,
      epoch: term.epoch,
      committed,
      signal: ended.signal,
      read: (options) => slot.read(options, ended.signal),
      commit: async (offset, metadata = '') => {
        if (over || term.over) throw fenced({ topic, group, partition })
        if (Buffer.byteLength(metadata) > METADATA_BYTES_MAX) {
          throw new AppError('LOG_REJECTED', 'a commit says more than 4,096 bytes', { details: { topic, partition } })
        }
        try {
          await this.#membership.commit(term.generation, partition, { offset, metadata })
        } catch (error) {
          if (error instanceof AppError && error.code === 'LOG_FENCED') term.revoke.abort()
          throw error
        }
      },
    }
    try {
      await this.#handler(claim)
    } finally {
      over = true
      term.revoke.signal.removeEventListener('abort', onRevoke)
      ended.abort() // ends a read that was left behind
      slot.close()
    }
  }
}

function aborted(signal: AbortSignal, unless?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), {
      once: true,
      ...(unless === undefined ? {} : { signal: unless }),
    })
  })
}

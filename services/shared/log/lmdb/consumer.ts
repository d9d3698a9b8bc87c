import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { hasCode } from '../../errors.ts'
import type { ClaimHandler, ConsumeOptions, LogRecord, PartitionClaim, ReadOptions } from '../port.ts'
import { commitOffset, fenced, groupVersion, leave, tick, type Membership, type TickResult } from './group.ts'
import { PartitionReader, type ReadAheadBudget } from './reader.ts'
import { waitFor, type Store } from './store.ts'
import { topicRow } from './topics.ts'

export interface ConsumerTimes {
  /** A member that was not heard of for this long is dead. */
  readonly sessionTimeoutMs: number
  /** A handler whose claim has to go may take this long to return; then the partition goes without it. */
  readonly handoverTimeoutMs: number
}

export interface ConsumerLogger {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
}

interface Held {
  readonly generation: number
  readonly stop: AbortController
  readonly finished: { yes: boolean }
  /** By the monotonic clock; set when the claim was told to go. */
  goneByMs: number
}

const READ_AHEAD_BYTES = 64 << 20
const HEARTBEATS_PER_SESSION = 4
const REST_MS_MAX = 1_000

/**
 * One member of a group, from joining to leaving.
 *
 *   waiting --(heartbeat due, group changed, handler returned, stop)--> tick --> waiting
 *
 * All state changes in `#turn`; handlers and timers only wake it. A claim goes through: taken, told to stop (the group
 * wants it, it was lost, or the consumer ends), finished (its handler returned), given back.
 */
export class GroupConsumer {
  readonly budget: ReadAheadBudget
  readonly #store: Store
  readonly #me: Membership
  readonly #topic: string
  readonly #times: ConsumerTimes
  readonly #handler: ClaimHandler
  readonly #signal: AbortSignal
  readonly #logger: ConsumerLogger
  readonly #held = new Map<number, Held>()
  readonly #never = new AbortController()
  /** Given back by a handler that returned of its own will: not taken again before the next heartbeat. */
  readonly #returned = new Set<number>()
  #failure: { readonly error: unknown } | undefined
  #version = -1
  #wanted = false
  #heartbeatAtMs = 0
  #restUntilMs = 0

  constructor(
    store: Store,
    options: ConsumeOptions,
    { handler, times, logger }: { handler: ClaimHandler; times: ConsumerTimes; logger: ConsumerLogger },
  ) {
    const { epoch, partitions } = topicRow(store, options.topic)
    const { sessionTimeoutMs } = times
    this.#store = store
    this.#topic = options.topic
    this.#me = { epoch, group: options.group, member: randomUUID(), partitions, sessionTimeoutMs }
    this.#times = times
    this.#handler = handler
    this.#signal = options.signal
    this.#logger = logger
    this.budget = { bytesMax: options.bufferBytesMax ?? READ_AHEAD_BYTES, bytes: 0 }
    setMaxListeners(0, this.#never.signal)
  }

  /** As the port's `consume`. */
  async run(): Promise<void> {
    const onAbort = (): void => this.#stopAll()
    this.#signal.addEventListener('abort', onAbort, { once: true })
    const wake = (): boolean => {
      if (performance.now() < this.#restUntilMs) return false
      return this.#wanted || (!this.#ending && groupVersion(this.#store, this.#me) !== this.#version)
    }
    try {
      while (!(this.#ending && this.#held.size === 0)) {
        await this.#turn()
        if (this.#ending && this.#held.size === 0) break
        const timeoutMs = Math.max(this.#nextDueMs() - performance.now(), 0)
        await waitFor(this.#store, wake, { timeoutMs, signal: this.#never.signal })
      }
    } finally {
      this.#signal.removeEventListener('abort', onAbort)
      await this.#leave()
    }
    if (this.#failure !== undefined) throw this.#failure.error
  }

  get #ending(): boolean {
    return this.#signal.aborted || this.#failure !== undefined
  }

  #heartbeatMs(): number {
    return this.#times.sessionTimeoutMs / HEARTBEATS_PER_SESSION
  }

  #nextDueMs(): number {
    const due = Math.min(this.#heartbeatAtMs, ...[...this.#held.values()].map((held) => held.goneByMs))
    return Math.max(due, this.#restUntilMs)
  }

  async #turn(): Promise<void> {
    this.#wanted = false
    const nowMs = performance.now()
    if (nowMs >= this.#heartbeatAtMs) this.#returned.clear()
    this.#heartbeatAtMs = nowMs + this.#heartbeatMs()
    const view = new Map(
      [...this.#held].map(([partition, { generation, finished, goneByMs }]) => [
        partition,
        { generation, over: finished.yes || nowMs >= goneByMs },
      ]),
    )
    let result: TickResult
    try {
      const avoid = new Set([...this.#held.keys(), ...this.#returned])
      result = await tick(this.#store, this.#me, view, { taking: !this.#ending, avoid })
    } catch (error) {
      this.#restUntilMs = performance.now() + Math.min(this.#heartbeatMs(), REST_MS_MAX)
      if (hasCode(error, 'LOG_UNAVAILABLE')) {
        // Nobody else can write either; claims stay safe, since a commit checks the owner for itself.
        this.#logger.warn({ error, topic: this.#topic, group: this.#me.group }, 'consumer group cannot be reached')
      } else {
        this.#failure ??= { error }
      }
      if (this.#ending) this.#stopAll()
      // The end does not wait for a log that takes nothing: what is left there runs out with the session.
      for (const [partition, { finished }] of this.#held) {
        if (this.#ending && finished.yes) this.#held.delete(partition)
      }
      return
    }
    this.#version = result.version
    for (const [partition, held] of this.#held) {
      // A handler that returned during the tick is given back by the next one.
      if (view.get(partition)?.over !== true) continue
      if (held.finished.yes) this.#held.delete(partition)
      // Not ours any more, though its handler still runs: nothing is due for it until that returns.
      else held.goneByMs = Number.POSITIVE_INFINITY
    }
    for (const partition of [...result.lost, ...result.release]) this.#tellToGo(partition)
    for (const claim of result.taken) this.#start(claim)
    if (this.#ending) this.#stopAll()
  }

  #tellToGo(partition: number): void {
    const held = this.#held.get(partition)
    if (held === undefined || held.stop.signal.aborted) return
    held.goneByMs = performance.now() + this.#times.handoverTimeoutMs
    held.stop.abort()
  }

  #stopAll(): void {
    for (const held of this.#held.values()) held.stop.abort()
    this.#wake()
  }

  /** Lets `run` take its next turn. */
  #wake(): void {
    this.#wanted = true
    this.#store.announce()
  }

  #start({ partition, generation, committed }: TickResult['taken'][number]): void {
    const stop = new AbortController()
    const held: Held = { generation, stop, finished: { yes: false }, goneByMs: Number.POSITIVE_INFINITY }
    this.#held.set(partition, held)
    const at = { epoch: this.#me.epoch, partition, position: Number(committed.offset) }
    const reader = new PartitionReader(this.#store, at, this.budget)
    const claim: PartitionClaim = {
      topic: this.#topic,
      partition,
      epoch: this.#me.epoch,
      committed,
      signal: stop.signal,
      read: (options) => this.#read(reader, options, stop.signal),
      commit: async (offset, metadata = '') => {
        if (held.finished.yes) throw fenced(this.#me.group, partition)
        await commitOffset(this.#store, this.#me, { partition, generation }, { offset, metadata })
      },
    }
    void this.#work(claim).finally(() => {
      held.finished.yes = true
      if (!stop.signal.aborted) this.#returned.add(partition)
      stop.abort() // ends a read that was left behind
      reader.close()
      this.#wake()
    })
  }

  async #work(claim: PartitionClaim): Promise<void> {
    try {
      await this.#handler(claim)
    } catch (error) {
      this.#failure ??= { error }
      this.#stopAll()
    }
  }

  async #read(reader: PartitionReader, options: ReadOptions, signal: AbortSignal): Promise<readonly LogRecord[]> {
    this.#store.refresh()
    if (signal.aborted) return []
    const records = reader.read(options)
    if (records.length > 0 || options.waitMs <= 0) return records
    await waitFor(this.#store, () => reader.hasMore, { timeoutMs: options.waitMs, signal })
    return signal.aborted ? [] : reader.read(options)
  }

  async #leave(): Promise<void> {
    try {
      await leave(this.#store, this.#me)
    } catch (error) {
      // The others will notice once the session has run out.
      this.#logger.warn({ error, topic: this.#topic, group: this.#me.group }, 'consumer group cannot be left')
    }
  }
}

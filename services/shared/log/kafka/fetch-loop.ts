import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../errors.ts'
import type { LogRecord } from '../port.ts'
import type { KafkaConnection } from './connection.ts'
import { CODE, isFatal, unavailable } from './errors.ts'
import { decodeBatches } from './record-batch.ts'
import { describeTopic, topicEnds } from './topics.ts'
import { fetch, type FetchedPartition } from './wire.ts'

const WAIT_MS = 500
/** While some partition is left out of a request, or somebody waits to hear that there is nothing: ask again soon. */
const SHORT_WAIT_MS = 50
const RESPONSE_BYTES_MAX = 8 << 20
const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 1_000

/** One partition that is being read. */
export interface Cursor {
  readonly partition: number
  /** The next offset to read. */
  position: bigint
  /** Bytes that may be brought now; 0 leaves the partition out until `wake`. */
  room(): number
  /** Takes records from `position` on, in order, and says from where to read on: later than `next` never, earlier when it could not keep all. */
  take(records: readonly LogRecord[], next: bigint, bytes: number): bigint
  /** Everything below this offset has been handed over, or is not there any more. */
  caughtUpTo?(offset: bigint): void
  /** The answer to a request for what lies at `position` is urgent although it may be empty. */
  readonly eager?: boolean
}

export interface FetchLoopOptions {
  readonly connection: KafkaConnection
  readonly topic: string
  readonly epoch: string
  readonly cursors: readonly Cursor[]
  readonly signal: AbortSignal
}

/**
 * Reads partitions from the brokers that lead them, one waiting request a broker, until `signal` aborts. Outages are
 * waited out. Rejects when reading cannot go on: the topic was made again, or it lost records that had been read.
 */
export class FetchLoop {
  readonly #options: FetchLoopOptions
  readonly #wakers = new Set<() => void>()

  constructor(options: FetchLoopOptions) {
    this.#options = options
  }

  /** Some cursor has room again. */
  wake(): void {
    for (const waker of this.#wakers) waker()
  }

  async run(): Promise<void> {
    const { connection, topic, epoch, cursors, signal } = this.#options
    for (let pauseMs = RETRY_MS_MIN; !signal.aborted; ) {
      try {
        const state = await describeTopic(connection, topic)
        if (state.epoch !== epoch) throw lost('the topic was made again under its name', topic)
        const byLeader = Map.groupBy(cursors, ({ partition }) => state.leaders.get(partition) ?? -1)
        const round = new AbortController()
        const ended = AbortSignal.any([round.signal, signal])
        const loops = [...byLeader].map(async ([leader, led]) => {
          try {
            await this.#readFrom(leader, led, ended, () => (pauseMs = RETRY_MS_MIN))
          } finally {
            round.abort()
          }
        })
        const failed = (await Promise.allSettled(loops)).find((loop) => loop.status === 'rejected')
        if (failed !== undefined) throw failed.reason
      } catch (error) {
        if (signal.aborted) return
        if (isFatal(error)) throw unavailable('reading the log broke off', error, { topic })
        connection.settings.logger.warn({ error, topic }, 'reading the log is tried again')
        await sleep(pauseMs, undefined, { signal }).catch(() => {})
        pauseMs = Math.min(2 * pauseMs, RETRY_MS_MAX)
        await connection.refresh()
      }
    }
  }

  async #readFrom(
    leader: number,
    cursors: readonly Cursor[],
    signal: AbortSignal,
    onAnswer: () => void,
  ): Promise<void> {
    const { connection, topic } = this.#options
    const over = new Promise<undefined>((resolve) => {
      if (signal.aborted) resolve(undefined)
      signal.addEventListener('abort', () => resolve(undefined), { once: true })
    })
    let turn = 0
    while (!signal.aborted) {
      // Another one first each time: only the first is sure of an answer when batches are larger than what was asked for.
      turn += 1
      const wanted = [...cursors.slice(turn % cursors.length), ...cursors.slice(0, turn % cursors.length)]
        .map((cursor) => ({ cursor, partition: cursor.partition, position: cursor.position, bytesMax: cursor.room() }))
        .filter(({ bytesMax }) => bytesMax > 0)
      if (wanted.length === 0) {
        await Promise.race([this.#woken(), over])
        continue
      }
      const broker = await connection.broker(leader, topic)
      const hurried = wanted.length < cursors.length || wanted.some(({ cursor }) => cursor.eager === true)
      const limits = { waitMs: hurried ? SHORT_WAIT_MS : WAIT_MS, bytesMax: RESPONSE_BYTES_MAX }
      const answering = connection.send(broker, fetch(topic, wanted, limits))
      answering.catch(() => {}) // when nobody waits for it any more
      const answer = await Promise.race([answering, over])
      if (answer === undefined) return
      if (answer.errorCode !== CODE.NONE) throw failed(topic, -1, answer.errorCode)
      const nothing = answer.partitions.every(({ bytes }) => bytes.length === 0)
      for (const fetched of answer.partitions) {
        const asked = wanted.find(({ partition }) => partition === fetched.partition)
        // A cursor that was moved meanwhile has no use for what lay at its old place.
        if (asked !== undefined && asked.cursor.position === asked.position)
          await this.#hand(asked.cursor, fetched, nothing)
      }
      onAnswer()
    }
  }

  async #hand(cursor: Cursor, fetched: FetchedPartition, nothing: boolean): Promise<void> {
    const { partition, errorCode, highWatermark, bytes } = fetched
    if (errorCode === CODE.OFFSET_OUT_OF_RANGE) return this.#reposition(cursor)
    if (errorCode !== CODE.NONE) throw failed(this.#options.topic, partition, errorCode)
    if (bytes.length > 0) {
      // A copy, because the records keep what they lie in: one partition's answer, not all of them.
      const { records, next } = decodeBatches(Buffer.from(bytes), partition, cursor.position)
      cursor.position = cursor.take(records, next, bytes.length)
    }
    // Nothing at all came although the partition reaches further: what was there has been compacted away.
    if (cursor.position >= highWatermark || nothing) cursor.caughtUpTo?.(highWatermark)
    else cursor.caughtUpTo?.(cursor.position)
  }

  /** Retention has overtaken the reader: it goes on with the oldest record. A log that ends before it has lost records. */
  async #reposition(cursor: Cursor): Promise<void> {
    const { connection, topic } = this.#options
    const ends = (await topicEnds(connection, topic)).find(({ partition }) => partition === cursor.partition)
    if (ends === undefined) return
    if (cursor.position > ends.end) {
      throw lost('the log ends before what was already read of it', topic)
    }
    if (cursor.position < ends.start) {
      const { partition, position } = cursor
      connection.settings.logger.warn({ topic, partition, position, start: ends.start }, 'records went unread')
      cursor.position = ends.start
    }
  }

  #woken(): Promise<undefined> {
    return new Promise((resolve) => {
      const waker = () => {
        this.#wakers.delete(waker)
        resolve(undefined)
      }
      this.#wakers.add(waker)
    })
  }
}

const failed = (topic: string, partition: number, errorCode: number): AppError =>
  new AppError('LOG_UNAVAILABLE', 'a broker does not hand out records', { details: { topic, partition, errorCode } })

/** Not tried again: another look cannot bring the records back. */
const lost = (message: string, topic: string): AppError => new AppError('LOG_REJECTED', message, { details: { topic } })

import { randomUUID } from 'node:crypto'
import { expect, vi } from 'vitest'
import type { EventLog, LogMessage, LogRecord, PartitionClaim, TopicSpec } from '../../services/shared/log/port.ts'

/** What an adapter gives the suite: an opened log, a way to look at it through another handle, and its own hooks. */
export interface EventLogFixture {
  readonly log: EventLog
  /** Another handle on the same log, as another process would have one. The suite closes it. */
  readonly openSecond: () => Promise<EventLog>
  /** Applies retention and compaction now. Left out by a log that does this in its own time. */
  readonly sweep?: () => Promise<void>
  /** Bytes that `log` holds ahead of its handlers at this moment, when the adapter can tell. */
  readonly readAheadBytes?: () => number
  /** Closes `log` and throws away what it kept. */
  readonly close: () => Promise<void>
}

export interface OpenOptions {
  /** Ceiling of the bytes that wait in front of the log; the adapter's default when left out. */
  readonly queueBytesMax?: number
}

export interface EventLogUnderTest {
  readonly name: string
  /**
   * Opens an empty or shared log with SHORT session and hand-over times (a few seconds at most): a handler that does
   * not return after its claim's signal has aborted must lose its partition within `takeoverMsMax`.
   */
  open(options?: OpenOptions): Promise<EventLogFixture>
  /** True when the fixture has `sweep`: the tests of retention, which cannot wait for a log's own time, run. */
  readonly sweeps: boolean
  /** The longest that a change of hands may take here, joins and expired sessions included. */
  readonly takeoverMsMax: number
}

/** What the tests of one subject get: the adapter, and the log that all of them share (each makes its own topics). */
export interface Setting {
  readonly adapter: EventLogUnderTest
  readonly fixture: () => EventLogFixture
}

export const freshTopic = (change: Partial<TopicSpec> = {}): TopicSpec => ({
  name: `contract.${randomUUID()}`,
  partitions: 1,
  compacted: false,
  ...change,
})

export const freshGroup = (): string => `group-${randomUUID()}`

export const message = (value: string | Buffer | null, partition = 0, key: string | null = null): LogMessage => ({
  partition,
  key: key === null ? null : Buffer.from(key),
  value: typeof value === 'string' ? Buffer.from(value) : value,
})

export const texts = (records: readonly LogRecord[]): (string | null)[] =>
  records.map((record) => record.value?.toString() ?? null)

/** Waits until `check` no longer throws. */
export const eventually = (check: () => void | Promise<void>, timeoutMs = 30_000): Promise<void> =>
  vi.waitFor(check, { timeout: timeoutMs, interval: 20 })

/** Everything that is in a topic now, as `follow` hands it over. */
export async function readAll(log: EventLog, topic: string): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  const stop = new AbortController()
  const following = log.follow(topic, (record) => void records.push(record), stop.signal)
  await following.caughtUp
  stop.abort()
  await following.done
  return records
}

export interface Member {
  /** Claims whose handler is running, by partition. */
  readonly held: ReadonlyMap<number, PartitionClaim>
  /** Every claim ever given, in order. */
  readonly given: readonly PartitionClaim[]
  stop(): Promise<void>
  readonly done: Promise<void>
}

export const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** A member of a group that holds what it gets; `work` runs for each claim and then the handler waits for its signal. */
export function join(
  log: EventLog,
  topic: string,
  group: string,
  work: (claim: PartitionClaim) => Promise<void> = async () => {},
  bufferBytesMax?: number,
): Member {
  const held = new Map<number, PartitionClaim>()
  const given: PartitionClaim[] = []
  const stop = new AbortController()
  const done = log.consume(
    { topic, group, signal: stop.signal, ...(bufferBytesMax === undefined ? {} : { bufferBytesMax }) },
    async (claim) => {
      given.push(claim)
      held.set(claim.partition, claim)
      try {
        await work(claim)
        await untilAborted(claim.signal)
      } finally {
        if (held.get(claim.partition) === claim) held.delete(claim.partition)
      }
    },
  )
  done.catch(() => {}) // whoever awaits `done` or `stop()` sees it
  return {
    held,
    given,
    done,
    async stop() {
      stop.abort()
      await done
    },
  }
}

export const partitionsOf = (member: Member): number[] => [...member.held.keys()].toSorted((a, b) => a - b)

/** The one claim of a one-partition topic, once this member has it. */
export async function onlyClaim(member: Member, timeoutMs: number): Promise<PartitionClaim> {
  await eventually(() => expect(member.held.size).toBe(1), timeoutMs)
  const claim = member.held.values().next().value
  if (claim === undefined) throw new Error('the claim went away')
  return claim
}

/** Reads until `count` records are there. */
export async function take(claim: PartitionClaim, count: number): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  while (records.length < count) {
    if (claim.signal.aborted) throw new Error(`the claim ended after ${records.length} of ${count} records`)
    records.push(...(await claim.read({ maxBytes: 1 << 20, maxRecords: count - records.length, waitMs: 500 })))
  }
  return records
}

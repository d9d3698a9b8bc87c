import { hasCode } from '../../shared/errors.ts'
import type { EventLog, LogRecord, PartitionClaim } from '../../shared/log/port.ts'
import { EVENTS_TOPIC } from '../../shared/log/topics.ts'
import { stopped, untilDefinite } from '../../shared/retry.ts'
import type { ArchiveFormat } from '../domain/archive-format.ts'
import { parseIntent, type ExportIntent } from '../domain/intent.ts'
import type { SealedBy } from '../metrics.ts'
import { GatheredRange } from './gathered-range.ts'
import type { MemoryBudget } from '../spool/memory-budget.ts'
import { patiently } from './patiently.ts'
import { RangeEffect, type RangeEffectDeps } from './range-effect.ts'
import { fillRepeats, RangeRepeats } from './range-repeats.ts'
import { RangeSpool } from './range-spool.ts'
import type { RepeatIndex } from './repeat-index.ts'

/** One read: small, so that many partitions together hold little. */
const READ_BYTES = 256 * 1024
const READ_RECORDS = 10_000
const IDLE_WAIT_MS = 1_000

export interface ExportDeps extends RangeEffectDeps {
  readonly log: Pick<EventLog, 'ends'>
  /** For what does not fit into memory. */
  readonly folder: string
  readonly budget: MemoryBudget
  readonly index: RepeatIndex
  /** Of all spools of the process. */
  readonly spoolBytes: () => number
  /** Milliseconds since 1970, for the age of what an earlier owner had read. */
  readonly now: () => number
}

/** What `/metrics` shows of a claim. */
export interface ClaimProgress {
  /** Everything before it is in the archive. */
  position: bigint
  /** When the oldest record that is read and not in the archive was written to the log; undefined when there is none. */
  oldestMs: number | undefined
  /** `performance.now()` when the running range began. */
  rangeSinceMs: number | undefined
  /** In files. */
  spoolBytes: number
}

const isLeft = (error: unknown): boolean => hasCode(error, 'LOG_FENCED') || hasCode(error, 'SHUTTING_DOWN')

/**
 * Moves one partition's records to the archive until the claim ends. A range that an earlier owner decided on comes first,
 * with its boundaries and in its format. What is read and not sealed when the claim ends is left to the next owner.
 *
 * Resolves when the claim is over or the partition is lost; rejects with any other error, which ends the exporter: going
 * on would commit past a range that failed.
 */
export async function exportClaim(deps: ExportDeps, claim: PartitionClaim, progress: ClaimProgress): Promise<void> {
  const hardStop = new AbortController()
  let drain: NodeJS.Timeout | undefined
  const onStop = (): void => {
    drain = setTimeout(() => hardStop.abort(stopped()), deps.settings.drainMs)
  }
  if (claim.signal.aborted) onStop()
  else claim.signal.addEventListener('abort', onStop, { once: true })
  try {
    await new ClaimExport(deps, claim, progress, hardStop.signal).run()
  } catch (error) {
    if (!isLeft(error)) throw error
  } finally {
    clearTimeout(drain)
    claim.signal.removeEventListener('abort', onStop)
  }
}

class ClaimExport {
  readonly #deps: ExportDeps
  readonly #claim: PartitionClaim
  readonly #progress: ClaimProgress
  readonly #hardStop: AbortSignal
  #position: bigint
  #ahead: readonly LogRecord[] = []

  constructor(deps: ExportDeps, claim: PartitionClaim, progress: ClaimProgress, hardStop: AbortSignal) {
    this.#deps = deps
    this.#claim = claim
    this.#progress = progress
    this.#hardStop = hardStop
    this.#position = claim.committed.offset
  }

  async run(): Promise<void> {
    const { bucket, index, settings, metrics } = this.#deps
    const { signal, committed } = this.#claim
    const intent = parseIntent(committed.metadata, committed.offset)
    const fill = async (): Promise<void> => fillRepeats(bucket, index, this.#claim, committed.offset, this.#hardStop)
    await untilDefinite(
      settings,
      signal,
      () => patiently(fill),
      () => metrics.retries.inc({ code: 'BUCKET_UNAVAILABLE' }),
    )
    if (intent !== undefined) await this.#one(intent.format, (range) => this.#gatherExactly(intent, range))
    while (!signal.aborted) await this.#one(settings.format, (range) => this.#gather(range))
  }

  /** Gathers one range and carries it out; without an intent, the claim ended first and nothing was begun. */
  async #one(
    format: ArchiveFormat,
    gather: (range: GatheredRange) => Promise<{ intent: ExportIntent; sealedBy: SealedBy } | undefined>,
  ): Promise<void> {
    const { bucket, budget, folder, index, metrics } = this.#deps
    const spool = new RangeSpool(folder, budget, format)
    const range = new GatheredRange(spool, new RangeRepeats(bucket, index, this.#claim, this.#position))
    let isDone = false
    try {
      const sealed = await gather(range)
      if (sealed === undefined) return
      const startedMs = performance.now()
      this.#progress.rangeSinceMs = startedMs
      metrics.ranges.inc({ sealed_by: sealed.sealedBy })
      await new RangeEffect(this.#deps, this.#claim, range, sealed.intent, this.#hardStop).run()
      isDone = true
      this.#progress.position = sealed.intent.last + 1n
      metrics.exported.inc(range.events)
      metrics.repeated.inc(range.repeated)
      for (const [reason, count] of range.unusable) metrics.unusable.inc({ reason }, count)
      metrics.rangeSeconds.observe((performance.now() - startedMs) / 1_000)
    } finally {
      if (!isDone) metrics.abandoned.inc(range.records)
      this.#progress.rangeSinceMs = undefined
      this.#progress.oldestMs = undefined
      this.#progress.spoolBytes = 0
      await spool.close()
    }
  }

  /** The range of an intent: exactly its records, however many came since. Records that retention took are missing from it. */
  async #gatherExactly(intent: ExportIntent, range: GatheredRange) {
    const { signal } = this.#claim
    while (this.#position <= intent.last) {
      const maxRecords = Math.min(READ_RECORDS, Number(intent.last - this.#position) + 1)
      const records = await this.#read(maxRecords)
      if (signal.aborted) return undefined
      const beyond = records.findIndex(({ offset }) => offset > intent.last)
      const exact = beyond === -1 ? records : records.slice(0, beyond)
      for (const record of exact) range.add(record)
      await this.#added(range, exact)
      if (beyond !== -1) {
        this.#ahead = [...records.slice(beyond), ...this.#ahead]
        break
      }
      if (records.length === 0 && (await this.#logStart()) > intent.last) break
    }
    range.isCut = (await this.#logStart()) > intent.first
    this.#position = intent.last + 1n
    return { intent, sealedBy: 'replay' as const }
  }

  /** Offset of the oldest record that the log still has of the partition. */
  async #logStart(): Promise<bigint> {
    const { log, settings, metrics } = this.#deps
    const { signal, partition } = this.#claim
    const all = await untilDefinite(
      settings,
      signal,
      () => log.ends(EVENTS_TOPIC), // a claim's own topic has the deployment's prefix, where there is one
      () => metrics.retries.inc({ code: 'LOG_UNAVAILABLE' }),
    )
    return all.find((ends) => ends.partition === partition)?.start ?? 0n
  }

  async #gather(range: GatheredRange) {
    const { signal } = this.#claim
    const { settings, now } = this.#deps
    const first = this.#position
    let sinceMs = performance.now()
    for (;;) {
      const records = await this.#read(READ_RECORDS)
      if (signal.aborted) return undefined
      if (range.records === 0) sinceMs = performance.now()
      // A read may bring more than the range takes.
      const taken = this.#untilFull(range, records)
      await this.#added(range, records.slice(0, taken))
      this.#ahead = [...records.slice(taken), ...this.#ahead]
      if (range.records === 0) continue
      const isIdle = records.length === 0
      const ageMs = Math.max(performance.now() - sinceMs, isIdle ? now() - (range.firstMs ?? 0) : 0)
      const sealedBy = this.#fullBy(range) ?? (ageMs >= settings.rangeAgeMs ? 'age' : undefined)
      if (sealedBy !== undefined) {
        return { intent: { first, last: this.#position - 1n, format: settings.format }, sealedBy }
      }
    }
  }

  #fullBy({ spool }: GatheredRange): SealedBy | undefined {
    const { rangeBytesMax, rangeObjectsMax, spoolBytesMax } = this.#deps.settings
    if (spool.bytes >= rangeBytesMax) return 'bytes'
    if (spool.size >= rangeObjectsMax) return 'objects'
    return spool.fileBytes > 0 && this.#deps.spoolBytes() >= spoolBytesMax ? 'spool' : undefined
  }

  /** Adds records up to the one that fills the range; gives their number. */
  #untilFull(range: GatheredRange, records: readonly LogRecord[]): number {
    let taken = 0
    for (const record of records) {
      range.add(record)
      taken += 1
      if (this.#fullBy(range) !== undefined) break
    }
    return taken
  }

  async #added(range: GatheredRange, records: readonly LogRecord[]): Promise<void> {
    const last = records.at(-1)
    if (last !== undefined) this.#position = last.offset + 1n
    this.#deps.metrics.read.inc(records.length)
    this.#progress.oldestMs = range.firstMs
    const before = range.spool.fileBytes
    await range.spool.settle()
    this.#deps.metrics.spilled.inc(range.spool.fileBytes - before)
    this.#progress.spoolBytes = range.spool.fileBytes
  }

  async #read(maxRecords: number): Promise<readonly LogRecord[]> {
    if (this.#ahead.length > 0) {
      const ahead = this.#ahead.slice(0, maxRecords)
      this.#ahead = this.#ahead.slice(maxRecords)
      return ahead
    }
    const waitMs = Math.min(IDLE_WAIT_MS, this.#deps.settings.rangeAgeMs)
    return this.#claim.read({ maxBytes: READ_BYTES, maxRecords, waitMs })
  }
}

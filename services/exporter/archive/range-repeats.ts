import { createHash } from 'node:crypto'
import { bodyOf, readWhole } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError } from '../../shared/errors.ts'
import { type LoggedEvent, REPEAT_WINDOW_MS } from '../../shared/events/event.ts'
import { repeatName } from '../../shared/events/repeats.ts'
import { parseRangeKey, type PartitionName, type RangeName, repeatsKey, repeatsPrefix } from '../domain/archive-key.ts'
import { decodeEntries, encodeEntries, REPEAT_NAME_BYTES, type RepeatEntry } from '../domain/repeat-entries.ts'
import { putOnce } from './put-once.ts'
import type { RepeatIndex } from './repeat-index.ts'
import { sha256Of } from './sha256.ts'

/** Clocks of several ingest processes may differ by this. */
const CLOCK_SLACK_MS = 86_400_000

const nameOf = ({ project, collection }: LoggedEvent, repeatKey: Buffer): Buffer =>
  createHash('sha256')
    .update(repeatName(project, collection, repeatKey.toString('hex')))
    .digest()
    .subarray(0, REPEAT_NAME_BYTES)

/**
 * The repeats of one range, by the rule of `shared/events/repeats.ts`, decided event by event in the order of offsets: from
 * what was kept before the range and in it, never from what an earlier attempt at this very range left behind.
 */
export class RangeRepeats {
  readonly #bucket: Bucket
  readonly #index: RepeatIndex
  readonly #partition: PartitionName
  readonly #first: bigint
  readonly #kept: RepeatEntry[] = []
  readonly #timesHere = new Map<string, number[]>()

  constructor(bucket: Bucket, index: RepeatIndex, partition: PartitionName, first: bigint) {
    this.#bucket = bucket
    this.#index = index
    this.#partition = partition
    this.#first = first
  }

  isRepeat(event: LoggedEvent, offset: bigint): boolean {
    const { repeatKey, createdAtMs } = event
    if (repeatKey === null) return false
    const name = nameOf(event, repeatKey)
    const isNear = (keptMs: number): boolean => Math.abs(createdAtMs - keptMs) <= REPEAT_WINDOW_MS
    const key = name.toString('latin1')
    const here = this.#timesHere.get(key)
    if (here?.some(isNear) === true) return true
    if (this.#index.keptBefore(this.#partition, name, createdAtMs, this.#first).some(isNear)) return true
    if (here === undefined) this.#timesHere.set(key, [createdAtMs])
    else here.push(createdAtMs)
    this.#kept.push({ name, createdAtMs, offset })
    return false
  }

  /** Puts what was kept into the archive, so that another machine can go on, and into the index. */
  async store(
    range: RangeName,
    retried: <T>(attempt: () => Promise<T>) => Promise<T>,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#kept.length > 0) {
      const bytes = encodeEntries(this.#kept)
      const newestMs = this.#kept.reduce((max, { createdAtMs }) => Math.max(max, createdAtMs), 0)
      const sha256 = sha256Of(bytes)
      const options = { contentType: 'application/octet-stream', signal }
      const stamp = { sha256, contentSha256: sha256 }
      const key = repeatsKey(range, newestMs)
      const { outcome } = await retried(() => putOnce(this.#bucket, key, bodyOf(bytes), stamp, options))
      if (outcome === 'mismatched') {
        throw new AppError('CONFIG_INVALID', 'The archive has other repeat keys of this range.', { details: { key } })
      }
    }
    await this.#index.add(this.#partition, this.#kept, range.last + 1n)
  }
}

/**
 * Brings the index up to `through` from the archive, when this machine has not worked on the partition lately. What is
 * too old to be repeated by an event from here on is passed over by its name. Rejects as the bucket does.
 */
export async function fillRepeats(
  bucket: Bucket,
  index: RepeatIndex,
  partition: PartitionName,
  through: bigint,
  signal: AbortSignal,
): Promise<void> {
  const from = index.through(partition)
  if (from >= through) return
  const found: { readonly key: string; readonly newestMs: number }[] = []
  for await (const { key } of bucket.list(repeatsPrefix(partition), { signal })) {
    const range = parseRangeKey(key)
    if (range?.newestMs === undefined || range.first < from || range.last >= through) continue
    found.push({ key, newestMs: range.newestMs })
  }
  const newestMs = found.reduce((max, one) => Math.max(max, one.newestMs), 0)
  for (const one of found) {
    if (one.newestMs < newestMs - REPEAT_WINDOW_MS - CLOCK_SLACK_MS) continue
    const bytes = await readWhole(bucket, one.key, signal)
    const entries = bytes && decodeEntries(bytes)
    if (entries === undefined) {
      throw new AppError('BUCKET_UNAVAILABLE', 'Repeat keys of a range cannot be read.', { details: { key: one.key } })
    }
    await index.add(partition, entries, 0n)
  }
  await index.add(partition, [], through)
}

import { createHash } from 'node:crypto'
import { bodyOf, readWhole } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError } from '../../shared/errors.ts'
import { type FramedEvent, REPEAT_WINDOW_MS } from '../../shared/events/event.ts'
import { repeatName } from '../../shared/events/repeats.ts'
import type { LogRecord } from '../../shared/log/port.ts'
import { parseRangeKey, type PartitionName, type RangeName, repeatsKey, repeatsPrefix } from '../domain/archive-key.ts'
import { decodeEntries, encodeEntries, REPEAT_NAME_BYTES, type RepeatEntry } from '../domain/repeat-entries.ts'
import { rememberFrom, windowOf } from '../domain/repeat-windows.ts'
import { putOnce } from './put-once.ts'
import type { RepeatIndex } from './repeat-index.ts'
import { sha256Of } from './sha256.ts'

const nameOf = ({ project, collection, bytes, repeatKeyAt }: FramedEvent): Buffer =>
  createHash('sha256')
    .update(repeatName(project, collection, bytes.toString('hex', repeatKeyAt, repeatKeyAt + 16)))
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

  isRepeat(event: FramedEvent, { offset, appendedAtMs }: Pick<LogRecord, 'offset' | 'appendedAtMs'>): boolean {
    const { repeatKeyAt, createdAtMs } = event
    if (repeatKeyAt === -1) return false
    const name = nameOf(event)
    const isNear = (keptMs: number): boolean => Math.abs(createdAtMs - keptMs) <= REPEAT_WINDOW_MS
    const key = name.toString('latin1')
    const here = this.#timesHere.get(key)
    if (here?.some(isNear) === true) return true
    if (this.#index.keptBefore(this.#partition, name, appendedAtMs, this.#first).some(isNear)) return true
    if (here === undefined) this.#timesHere.set(key, [createdAtMs])
    else here.push(createdAtMs)
    this.#kept.push({ name, createdAtMs, offset })
    return false
  }

  /**
   * Puts what was kept into the archive, so that another machine can go on, and into the index. `appendedMs`: when the
   * range's last record was appended. False when the archive has others of this range.
   */
  async store(
    range: RangeName,
    appendedMs: number,
    retried: <T>(attempt: () => Promise<T>) => Promise<T>,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (this.#kept.length > 0) {
      const bytes = encodeEntries(this.#kept)
      const sha256 = sha256Of(bytes)
      const options = { contentType: 'application/octet-stream', signal }
      const stamp = { sha256, contentSha256: sha256 }
      const key = repeatsKey(range, appendedMs)
      const { outcome } = await retried(() => putOnce(this.#bucket, key, bodyOf(bytes), stamp, options))
      if (outcome === 'mismatched') return false
      await this.#index.add(this.#partition, this.#kept, appendedMs)
    }
    await this.#index.reach(this.#partition, range.last + 1n)
    return true
  }

  /**
   * Takes what an earlier attempt put into the archive for what the range kept, where it did: that attempt may have seen
   * records that the log has let go of since. False when there is nothing.
   */
  async adopt(
    range: RangeName,
    retried: <T>(attempt: () => Promise<T>) => Promise<T>,
    signal: AbortSignal,
  ): Promise<boolean> {
    return retried(async () => {
      for await (const { key } of this.#bucket.list(repeatsPrefix(range), { signal })) {
        const found = parseRangeKey(key)
        if (found?.appendedMs === undefined || found.first !== range.first || found.last !== range.last) continue
        await this.#index.add(this.#partition, await readEntries(this.#bucket, key, signal), found.appendedMs)
        await this.#index.reach(this.#partition, range.last + 1n)
        return true
      }
      return false
    })
  }
}

async function readEntries(bucket: Bucket, key: string, signal: AbortSignal): Promise<readonly RepeatEntry[]> {
  const bytes = await readWhole(bucket, key, signal)
  const entries = bytes && decodeEntries(bytes)
  if (entries !== undefined) return entries
  throw new AppError('BUCKET_UNAVAILABLE', 'Repeat keys of a range cannot be read.', { details: { key } })
}

/**
 * Brings the index up to `through` from the archive, when this machine has not worked on the partition lately. What is
 * too old to be repeated by an event from here on is passed over by its name. Rejects as
 * the bucket does.
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
  const found: { readonly key: string; readonly appendedMs: number }[] = []
  for await (const { key } of bucket.list(repeatsPrefix(partition), { signal })) {
    const range = parseRangeKey(key)
    if (range?.appendedMs === undefined || range.first < from || range.last >= through) continue
    found.push({ key, appendedMs: range.appendedMs })
  }
  const newestMs = found.reduce((max, { appendedMs }) => Math.max(max, appendedMs), 0)
  for (const { key, appendedMs } of found) {
    if (windowOf(appendedMs) < rememberFrom(newestMs)) continue
    await index.add(partition, await readEntries(bucket, key, signal), appendedMs)
  }
  await index.reach(partition, through)
}

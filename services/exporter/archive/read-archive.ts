import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { readWhole } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError } from '../../shared/errors.ts'
import type { ArchiveFormat } from '../domain/archive-format.ts'
import {
  manifestAfter,
  MANIFESTS_PREFIX,
  manifestsPrefix,
  parseRangeKey,
  type PartitionName,
  type RangeName,
} from '../domain/archive-key.ts'
import { type ArchivedEvent, parseLine } from '../domain/line.ts'
import { type ArchivedObject, type Manifest, parseManifest } from '../domain/manifest.ts'

const NEWLINE = 0x0a
/** Events of one batch; a batch ends with a piece of the stream, so that what it views is not kept for long. */
const BATCH_MAX = 5_000

const damaged = (message: string, key: string, cause?: unknown): AppError =>
  new AppError('ARCHIVE_DAMAGED', message, { cause, details: { key } })

/** The partitions that the archive has manifests of, by epoch and number. One listing each. */
export async function archivedPartitions(bucket: Bucket, signal: AbortSignal): Promise<readonly PartitionName[]> {
  const found: PartitionName[] = []
  let after: string | undefined
  for (;;) {
    const next = await firstRange(bucket, after, signal)
    if (next === undefined) return found
    found.push({ epoch: next.epoch, partition: next.partition })
    after = `${manifestsPrefix(next)}~` // after all digits
  }
}

async function firstRange(
  bucket: Bucket,
  after: string | undefined,
  signal: AbortSignal,
): Promise<RangeName | undefined> {
  const options = after === undefined ? { signal } : { after, signal }
  for await (const { key } of bucket.list(MANIFESTS_PREFIX, options)) {
    const range = parseRangeKey(key)
    if (range !== undefined) return range
  }
  return undefined
}

/** Ranges of a partition whose manifests are there, from the one that begins at `from` or later on, in order. */
export async function* archivedRanges(
  bucket: Bucket,
  partition: PartitionName,
  from: bigint,
  signal: AbortSignal,
): AsyncGenerator<RangeName & { readonly key: string }> {
  for await (const { key } of bucket.list(manifestsPrefix(partition), {
    after: manifestAfter(partition, from),
    signal,
  })) {
    const range = parseRangeKey(key)
    if (range !== undefined) yield { ...range, key }
  }
}

/** Rejects with ARCHIVE_DAMAGED when it is not there, or is no manifest. */
export async function readManifest(bucket: Bucket, key: string, signal: AbortSignal): Promise<Manifest> {
  const bytes = await readWhole(bucket, key, signal)
  if (bytes === undefined) throw damaged('A manifest of the archive is not there any more.', key)
  const manifest = parseManifest(bytes)
  if (manifest === undefined) throw damaged('A manifest of the archive cannot be read.', key)
  return manifest
}

const decompressor = (format: ArchiveFormat) => (format === 'jsonl.gz' ? createGunzip() : createZstdDecompress())

/**
 * The events of an object in batches, in the order of their offsets; what a batch views is good until the next one is asked
 * for. Rejects with ARCHIVE_DAMAGED, at the latest after the last batch, when they are not those that the manifest tells of.
 */
export async function* readObject(
  bucket: Pick<Bucket, 'get'>,
  object: ArchivedObject,
  signal: AbortSignal,
): AsyncGenerator<readonly ArchivedEvent[]> {
  const stored = await bucket.get(object.key, signal)
  if (stored === undefined) throw damaged('An object of the archive is not there any more.', object.key)
  const unpacked = decompressor(object.format)
  // Whatever ends one ends the other, and what went wrong is thrown by the loop below. (`compose` lets a file that ends
  // early end the process.)
  pipeline(stored, unpacked, () => undefined)
  const hash = createHash('sha256')
  let rest: Buffer = Buffer.alloc(0)
  let events = 0
  try {
    for await (const chunk of unpacked) {
      hash.update(chunk as Buffer)
      const bytes: Buffer = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
      let start = 0
      let batch: ArchivedEvent[] = []
      for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
        const event = parseLine(bytes.subarray(start, end))
        if (event === undefined) throw damaged('A line of the archive cannot be read.', object.key)
        batch.push(event)
        events += 1
        start = end + 1
        if (batch.length >= BATCH_MAX) {
          yield batch
          batch = []
        }
      }
      if (batch.length > 0) yield batch
      rest = bytes.subarray(start)
    }
  } catch (error) {
    if (isCompression(error)) throw damaged('An object of the archive cannot be unpacked.', object.key, error)
    throw error
  }
  if (rest.length > 0 || events !== object.events || hash.digest('hex') !== object.content_sha256) {
    throw damaged('An object of the archive is not what its manifest tells of.', object.key)
  }
}

const isCompression = (error: unknown): boolean =>
  /^(Z_|ZSTD_|ERR_ZSTD)/.test(String((error as NodeJS.ErrnoException).code))

import { createHash } from 'node:crypto'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { readWhole } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError } from '../../shared/errors.ts'
import { MalformedDatum } from '../../shared/events/wire.ts'
import {
  manifestAfter,
  MANIFESTS_PREFIX,
  manifestsPrefix,
  parseRangeKey,
  type PartitionName,
  type RangeName,
} from '../domain/archive-key.ts'
import type { ArchivedEvent } from '../domain/line.ts'
import { eventsOf } from '../domain/lines.ts'
import { type ArchivedObject, type Manifest, parseManifest } from '../domain/manifest.ts'
import { linesOfAvro } from './avro-lines.ts'
import { zstdContent } from './zstd-frames.ts'

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

/** A range and the key of its newest manifest. */
export interface ArchivedRange extends RangeName {
  readonly key: string
  readonly revision: number
}

/** Ranges of a partition whose manifests are there, from the one that begins at `from` or later on, in order. */
export async function* archivedRanges(
  bucket: Bucket,
  partition: PartitionName,
  from: bigint,
  signal: AbortSignal,
): AsyncGenerator<ArchivedRange> {
  let newest: ArchivedRange | undefined
  for await (const { key } of bucket.list(manifestsPrefix(partition), {
    after: manifestAfter(partition, from),
    signal,
  })) {
    const range = parseRangeKey(key)
    if (range === undefined) continue
    if (newest !== undefined && (newest.first !== range.first || newest.last !== range.last)) yield newest
    newest = { ...range, key }
  }
  if (newest !== undefined) yield newest
}

/** The key of the newest manifest of a range, by that of its first. Rejects with ARCHIVE_DAMAGED when there is none. */
export async function newestManifest(bucket: Bucket, firstKey: string, signal: AbortSignal): Promise<string> {
  let newest: string | undefined
  for await (const { key } of bucket.list(firstKey.replace(/json$/, ''), { signal })) newest = key
  if (newest === undefined) throw damaged('A manifest of the archive is not there any more.', firstKey)
  return newest
}

/** Rejects with ARCHIVE_DAMAGED when it is not there, or is no manifest. */
export async function readManifest(bucket: Bucket, key: string, signal: AbortSignal): Promise<Manifest> {
  const bytes = await readWhole(bucket, key, signal)
  if (bytes === undefined) throw damaged('A manifest of the archive is not there any more.', key)
  const manifest = parseManifest(bytes)
  if (manifest === undefined) throw damaged('A manifest of the archive cannot be read.', key)
  return manifest
}

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
  const hash = createHash('sha256')
  let events = 0
  async function* content(of: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of of) {
      hash.update(chunk)
      yield chunk
    }
  }
  const unreadable = (): AppError => damaged('A line of the archive cannot be read.', object.key)
  try {
    for await (const batch of eventsOf(content(linesOf(stored, object)), unreadable)) {
      events += batch.length
      yield batch
    }
  } catch (error) {
    if (!isEncoding(error)) throw error
    throw damaged('An object of the archive cannot be unpacked.', object.key, error)
  }
  if (events !== object.events || hash.digest('hex') !== object.content_sha256) {
    throw damaged('An object of the archive is not what its manifest tells of.', object.key)
  }
}

/** What comes out at once: small pieces each take their time. */
const CHUNK_BYTES = 128 * 1024

function linesOf(stored: Readable, { format, content_bytes }: ArchivedObject): AsyncIterable<Buffer> {
  switch (format) {
    case 'jsonl.gz':
      return gunzipped(stored)
    case 'jsonl.zst':
      return zstdContent(stored, content_bytes)
    case 'avro':
      return linesOfAvro(stored, content_bytes)
    default:
      return format satisfies never
  }
}

function gunzipped(stored: Readable): AsyncIterable<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES })
  // Whatever ends one ends the other, and what went wrong is thrown where the lines are read. (`compose` lets a file that
  // ends early end the process.)
  pipeline(stored, gunzip, () => undefined)
  return gunzip
}

const isEncoding = (error: unknown): boolean =>
  error instanceof MalformedDatum ||
  /^(Z_|ZSTD_|ERR_ZSTD|ERR_BUFFER_TOO_LARGE)/.test(String((error as NodeJS.ErrnoException).code))

import { createHash } from 'node:crypto'
import { pipeline, type Readable, Transform } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { readWhole } from '../../shared/bucket/body.ts'
import type { Bucket, ByteRange } from '../../shared/bucket/port.ts'
import { AppError, hasCode } from '../../shared/errors.ts'
import { MalformedDatum } from '../../shared/events/wire.ts'
import {
  manifestAfter,
  manifestKey,
  MANIFESTS_PREFIX,
  manifestsPrefix,
  parseRangeKey,
  type PartitionName,
  type RangeName,
} from '../domain/archive-key.ts'
import type { ArchivedEvent } from '../domain/line.ts'
import { eventsIn, lineCount, wholeLines } from '../domain/lines.ts'
import { type ArchivedObject, isMerged, type Manifest, parseManifest } from '../domain/manifest.ts'
import { linesOfAvro } from './avro-lines.ts'
import { zstdContent } from './zstd-frames.ts'

const damaged = (message: string, key: string, cause?: unknown): AppError =>
  new AppError('ARCHIVE_DAMAGED', message, { cause, details: { key } })
const missing = (message: string, key: string): AppError =>
  new AppError('ARCHIVE_DAMAGED', message, { details: { key, reason: 'missing' } })

/** Whether that is what is wrong: something is not there. It may have been replaced since it was heard of. */
export const isMissing = (error: unknown): boolean =>
  hasCode(error, 'ARCHIVE_DAMAGED') && error.details['reason'] === 'missing'

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
  /** Older manifests of the range are there still. */
  readonly hasOlder: boolean
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
    const hasOlder = newest !== undefined && newest.first === range.first && newest.last === range.last
    if (newest !== undefined && !hasOlder) yield newest
    newest = { ...range, key, hasOlder }
  }
  if (newest !== undefined) yield newest
}

/** Keys of a range's manifests, by that of its first; the newest one last. Rejects as the bucket does. */
export async function manifestsOf(bucket: Bucket, firstKey: string, signal: AbortSignal): Promise<string[]> {
  const found: string[] = []
  for await (const { key } of bucket.list(firstKey.replace(/json$/, ''), { signal })) {
    if (parseRangeKey(key) !== undefined) found.push(key)
  }
  return found
}

/** The key of the newest manifest of a range, by that of its first. Rejects with ARCHIVE_DAMAGED when there is none. */
async function newestManifest(bucket: Bucket, firstKey: string, signal: AbortSignal): Promise<string> {
  let newest: string | undefined
  for await (const { key } of bucket.list(firstKey.replace(/json$/, ''), { signal })) newest = key
  if (newest === undefined) throw missing('A manifest of the archive is not there any more.', firstKey)
  return newest
}

/** Rejects with ARCHIVE_DAMAGED when it is not there, or is no manifest. */
export async function readManifest(bucket: Bucket, key: string, signal: AbortSignal): Promise<Manifest> {
  const bytes = await readWhole(bucket, key, signal)
  if (bytes === undefined) throw missing('A manifest of the archive is not there any more.', key)
  const manifest = parseManifest(bytes)
  if (manifest === undefined) throw damaged('A manifest of the archive cannot be read.', key)
  return manifest
}

export type ReadManifest = (key: string, signal: AbortSignal) => Promise<Manifest>

/** The newest manifest of a range and its key, by that of its first, however often it is replaced meanwhile. Rejects as `readManifest` does. */
export async function readNewest(
  bucket: Bucket,
  firstKey: string,
  signal: AbortSignal,
  read: ReadManifest = async (key) => readManifest(bucket, key, signal),
): Promise<{ readonly key: string; readonly manifest: Manifest }> {
  for (let tried: string | undefined; ; ) {
    const key = await newestManifest(bucket, firstKey, signal)
    try {
      return { key, manifest: await read(key, signal) }
    } catch (error) {
      if (!isMissing(error) || key === tried) throw error
      tried = key
    }
  }
}

/** The manifest of a range that was listed, or the one that has replaced it since. Rejects as `readManifest` does. */
export async function readRange(
  bucket: Bucket,
  range: ArchivedRange,
  signal: AbortSignal,
  read: ReadManifest = async (key) => readManifest(bucket, key, signal),
): Promise<{ readonly key: string; readonly manifest: Manifest }> {
  try {
    return { key: range.key, manifest: await read(range.key, signal) }
  } catch (error) {
    if (!isMissing(error)) throw error
    return readNewest(bucket, manifestKey(range), signal, read)
  }
}

/**
 * An object's bytes as they are stored: a tenth of the lines in them, and the same bytes always unpack to the same lines. Rejects,
 * or ends, with ARCHIVE_DAMAGED when they are not there, or not those that the manifest tells of. Who ends one ends the bucket's stream.
 */
export async function storedBytes(
  bucket: Pick<Bucket, 'get'>,
  object: ArchivedObject,
  signal: AbortSignal,
): Promise<Readable> {
  const { key, sha256 } = object
  const stored = await bucket.get(key, signal, placeOf(object))
  if (stored === undefined) throw missing('An object of the archive is not there any more.', key)
  const hash = createHash('sha256')
  let bytes = 0
  const held = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      bytes += chunk.length
      done(null, chunk)
    },
    flush(done) {
      if (bytes !== object.bytes) {
        done(damaged(`An object of the archive has ${bytes} bytes, its manifest says ${object.bytes}.`, key))
      } else if (hash.digest('hex') !== sha256) {
        done(damaged('The bytes of an object of the archive are not those that its manifest has the SHA-256 of.', key))
      } else done()
    },
  })
  pipeline(stored, held, () => undefined)
  return held
}

/**
 * The lines of an object in pieces of whole ones, in the order of their offsets; a piece may be written over, and is good until
 * the next one is asked for. Rejects with ARCHIVE_DAMAGED, at the latest after the last piece, when they are not those that
 * the manifest tells of.
 */
export async function* readLines(
  bucket: Pick<Bucket, 'get'>,
  object: ArchivedObject,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const stored = await storedBytes(bucket, object, signal)
  let events = 0
  try {
    for await (const lines of wholeLines(linesOf(stored, object), () => unreadableLine(object))) {
      events += lineCount(lines)
      yield lines
    }
  } catch (error) {
    if (!isEncoding(error)) throw error
    throw damaged('An object of the archive cannot be unpacked.', object.key, error)
  }
  if (events !== object.events)
    throw damaged('An object of the archive has not the events that its manifest says.', object.key)
}

/** The error for a line that is none of the archive's. */
export const unreadableLine = ({ key }: ArchivedObject): AppError =>
  damaged('A line of the archive cannot be read.', key)

/** The same as events in batches, which are good until the next one is asked for. */
export async function* readObject(
  bucket: Pick<Bucket, 'get'>,
  object: ArchivedObject,
  signal: AbortSignal,
): AsyncGenerator<readonly ArchivedEvent[]> {
  for await (const lines of readLines(bucket, object, signal)) yield eventsIn(lines, () => unreadableLine(object))
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

/** Of an object in a merged file: which of the file's bytes are its own. */
export const placeOf = (object: ArchivedObject): ByteRange | undefined =>
  isMerged(object) ? { at: object.at, bytes: object.bytes } : undefined

/**
 * As `read` does, for who read the range's manifest some time ago: where the object was replaced since (merged with
 * others, events erased), what stands in its place is read, and nothing where nothing does. `firstKey` is that of the
 * range's first manifest.
 */
export async function* readObjectNow<T>(
  read: (bucket: Bucket, object: ArchivedObject, signal: AbortSignal) => AsyncGenerator<T>,
  bucket: Bucket,
  firstKey: string,
  object: ArchivedObject,
  signal: AbortSignal,
): AsyncGenerator<T> {
  for (let wanted = object; ; ) {
    try {
      yield* read(bucket, wanted, signal)
      return
    } catch (error) {
      if (!isMissing(error)) throw error // before the first batch, if at all
      const { manifest } = await readNewest(bucket, firstKey, signal)
      const found = manifest.objects.find((one) => isSamePart(one, object))
      if (found === undefined) return
      if (found.key === wanted.key) throw error
      wanted = found
    }
  }
}

/** Of one range, whether they hold its events of one project, collection and hour, of which there is one object each. */
export const isSamePart = (one: ArchivedObject, other: ArchivedObject): boolean =>
  one.project === other.project && one.collection === other.collection && one.hour === other.hour

import { createHash } from 'node:crypto'
import type { Bucket } from '../../shared/bucket/port.ts'
import { hasCode } from '../../shared/errors.ts'
import { isMissing, isSamePart, readLines, readNewest, unreadableLine } from '../archive/read-archive.ts'
import { HOUR_MS } from '../domain/archive-key.ts'
import type { ArchivedEvent } from '../domain/line.ts'
import { eventsIn } from '../domain/lines.ts'
import { type ArchivedObject, isMerged, type MergedObject } from '../domain/manifest.ts'

export type ObjectState = { readonly state: 'whole' } | { readonly state: 'missing' | 'damaged'; readonly says: string }

/**
 * Reads an object to its end and holds it to its manifest: the bytes as they are stored, the lines in them, and each
 * line's offset and hour. Rejects as the bucket does; what is wrong with the object itself is the result.
 */
export async function checkObject(
  bucket: Pick<Bucket, 'get' | 'head'>,
  object: ArchivedObject,
  signal: AbortSignal,
  onEvent: (event: ArchivedEvent) => void,
): Promise<ObjectState> {
  const content = createHash('sha256')
  const check = new LineCheck(object)
  try {
    for await (const lines of readLines(bucket, object, signal)) {
      content.update(lines)
      for (const event of eventsIn(lines, () => unreadableLine(object))) {
        check.add(event)
        onEvent(event)
      }
    }
  } catch (error) {
    if (isMerged(object) && (await isOtherSize(bucket, object, signal))) {
      return { state: 'damaged', says: `Its file has not the ${object.file_bytes} bytes that its manifest says.` }
    }
    if (!hasCode(error, 'ARCHIVE_DAMAGED')) throw error
    return isMissing(error) ? { state: 'missing', says: 'It is not there.' } : { state: 'damaged', says: error.message }
  }
  if (check.fault !== undefined) return { state: 'damaged', says: check.fault }
  if (content.digest('hex') !== object.content_sha256) {
    return { state: 'damaged', says: 'Its lines are not those that the manifest has the SHA-256 of.' }
  }
  return { state: 'whole' }
}

/** A part that lies beyond its file's end cannot be asked for. */
async function isOtherSize(
  bucket: Pick<Bucket, 'head'>,
  { key, file_bytes: bytes }: MergedObject,
  signal: AbortSignal,
): Promise<boolean> {
  const file = await bucket.head(key, signal)
  return file !== undefined && file.bytes !== bytes
}

/**
 * As `checkObject`. One that is not there may have been replaced since its manifest was read: then what the range's newest
 * manifest has in its place is checked, and nothing where that has nothing. `firstKey` is that of the range's first manifest.
 */
export async function checkObjectNow(
  bucket: Bucket,
  firstKey: string,
  object: ArchivedObject,
  signal: AbortSignal,
  onEvent: (event: ArchivedEvent) => void,
): Promise<ObjectState> {
  for (let wanted = object; ; ) {
    const outcome = await checkObject(bucket, wanted, signal, onEvent)
    if (outcome.state !== 'missing') return outcome
    const { manifest } = await readNewest(bucket, firstKey, signal)
    const found = manifest.objects.find((one) => isSamePart(one, object))
    if (found === undefined) return { state: 'whole' }
    if (found.key === wanted.key) return outcome
    wanted = found
  }
}

class LineCheck {
  readonly #object: ArchivedObject
  readonly #hourMs: number
  #first: bigint | undefined
  #last = -1n
  #fault: string | undefined

  constructor(object: ArchivedObject) {
    this.#object = object
    this.#hourMs = Date.parse(object.hour)
  }

  add({ offset, createdAtMs }: ArchivedEvent): void {
    if (offset <= this.#last) this.#fault ??= `Offset ${offset} comes after ${this.#last}.`
    if (Math.floor(createdAtMs / HOUR_MS) * HOUR_MS !== this.#hourMs) {
      this.#fault ??= `The event at offset ${offset} arrived in another hour than its key says.`
    }
    this.#first ??= offset
    this.#last = offset
  }

  get fault(): string | undefined {
    if (this.#fault !== undefined) return this.#fault
    const { first, last } = this.#object
    if (this.#first === BigInt(first) && this.#last === BigInt(last)) return undefined
    return `Its offsets go from ${this.#first} to ${this.#last}, its manifest says ${first} to ${last}.`
  }
}

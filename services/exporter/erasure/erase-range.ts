import type { Bucket } from '../../shared/bucket/port.ts'
import { bodyOf } from '../../shared/bucket/body.ts'
import type { Erase } from '../../shared/deletions/domain/erase.ts'
import { loggedEvent } from '../archive/logged-event.ts'
import { draftObject } from '../archive/object-draft.ts'
import { putOnce } from '../archive/put-once.ts'
import { type ArchivedRange, archivedRanges, readManifest, readObject } from '../archive/read-archive.ts'
import { sha256Of } from '../archive/sha256.ts'
import { CONTENT_TYPES } from '../domain/archive-format.ts'
import { manifestKey, objectKey, parseRangeKey, type RangeName } from '../domain/archive-key.ts'
import { encodeEvent, frameEvent } from '../../shared/events/codec.ts'
import { lineBytesMax, writeLine } from '../domain/line.ts'
import { type ArchivedObject, type Manifest, manifestText } from '../domain/manifest.ts'

export interface EraseDeps {
  readonly archive: Bucket
  /** For drafts that are too large for memory. */
  readonly folder: string
  readonly signal: AbortSignal
}

export interface ErasedRange {
  /** Events that are gone, and events that lost a property. */
  readonly erased: number
  readonly changed: number
  readonly objects: number
}

const NOTHING: ErasedRange = { erased: 0, changed: 0, objects: 0 }

/**
 * Takes out of one range's files what `erase` takes out of events: the objects that hold such are written anew beside the
 * old ones, then the range's next manifest, and only then the old ones are deleted. A reader of manifests sees all of it
 * or none; broken off anywhere, it is done again and comes to the same. `isConcerned` spares reading the rest.
 * Rejects as the bucket does, and with ARCHIVE_DAMAGED.
 */
export async function eraseRange(
  deps: EraseDeps,
  range: ArchivedRange,
  isConcerned: (object: ArchivedObject) => boolean,
  erase: Erase,
): Promise<ErasedRange> {
  const { archive, signal } = deps
  const manifest = await readManifest(archive, range.key, signal)
  if (!manifest.objects.some(isConcerned)) {
    if (range.revision > 0) await removeOld(deps, range) // an attempt that broke off may have left that
    return NOTHING
  }
  let total = NOTHING
  const objects: ArchivedObject[] = []
  for (const object of manifest.objects) {
    const found = isConcerned(object) ? await eraseObject(deps, range, object, erase) : undefined
    if (found === undefined) {
      objects.push(object)
      continue
    }
    if (found.object !== undefined) objects.push(found.object)
    total = {
      erased: total.erased + found.erased,
      changed: total.changed + found.changed,
      objects: total.objects + 1,
    }
  }
  if (total.objects > 0 && !(await putManifest(deps, range, manifest, objects, total.erased))) {
    // Another one wrote the next manifest first, and knew of other deletions: what is left to do is seen from there.
    const newest = await newestOf(archive, range, signal)
    return eraseRange(deps, newest, isConcerned, erase)
  }
  await removeOld(deps, range)
  return total
}

/** Undefined when nothing of it changes. Without an object: all of its events are gone. */
async function eraseObject(
  { archive, folder, signal }: EraseDeps,
  range: RangeName,
  object: ArchivedObject,
  erase: Erase,
): Promise<{ object: ArchivedObject | undefined; erased: number; changed: number } | undefined> {
  let [erased, changed, events] = [0, 0, 0]
  let first: bigint | undefined
  let last = 0n
  async function* kept(): AsyncGenerator<readonly Buffer[]> {
    for await (const batch of readObject(archive, object, signal)) {
      const lines: Buffer[] = []
      for (const archived of batch) {
        const before = loggedEvent(object, archived)
        const after = erase(before)
        if (after === null) {
          erased += 1
          continue
        }
        if (after !== before) changed += 1
        first ??= archived.offset
        last = archived.offset
        events += 1
        const framed = frameEvent(encodeEvent(after))
        const target = Buffer.allocUnsafe(lineBytesMax(framed))
        lines.push(target.subarray(0, writeLine(target, 0, framed, archived.offset)))
      }
      yield lines
    }
  }
  const draft = await draftObject(kept(), object.format, folder)
  try {
    if (erased + changed === 0) return undefined
    if (first === undefined) return { object: undefined, erased, changed }
    const { project, collection, format } = object
    const part = { project, collection, hourMs: Date.parse(object.hour) }
    // By its content, so that whoever does it again finds it, and one with other content has another name.
    const key = objectKey(range, part, `${draft.contentSha256.slice(0, 16)}.${format}`)
    const put = await putOnce(archive, key, draft.body, draft, { contentType: CONTENT_TYPES[format], signal })
    const { bytes, sha256 } = put.outcome === 'matched' ? put : { bytes: draft.body.bytes, sha256: draft.sha256 }
    const rewritten = {
      ...object,
      key,
      events,
      first: String(first),
      last: String(last),
      bytes,
      sha256,
      content_bytes: draft.contentBytes,
      content_sha256: draft.contentSha256,
    }
    return { object: rewritten, erased, changed }
  } finally {
    await draft.dispose()
  }
}

/** False when another manifest has the next revision. */
async function putManifest(
  { archive, signal }: EraseDeps,
  range: ArchivedRange,
  before: Manifest,
  objects: readonly ArchivedObject[],
  erased: number,
): Promise<boolean> {
  const next: Manifest = {
    ...before,
    events: before.events - erased,
    erased: (before.erased ?? 0) + erased,
    objects: [...objects],
  }
  const text = Buffer.from(manifestText(next))
  const sha256 = sha256Of(text)
  const key = manifestKey(range, range.revision + 1)
  const options = { contentType: 'application/json', signal }
  const { outcome } = await putOnce(archive, key, bodyOf(text), { sha256, contentSha256: sha256 }, options)
  return outcome !== 'mismatched'
}

async function newestOf(archive: Bucket, range: RangeName, signal: AbortSignal): Promise<ArchivedRange> {
  for await (const found of archivedRanges(archive, range, range.first, signal)) return found
  throw new Error('a range lost its manifests')
}

/** Deletes what older manifests of the range name and the newest does not, then these manifests. */
async function removeOld({ archive, signal }: EraseDeps, range: RangeName): Promise<void> {
  const manifests: string[] = []
  for await (const { key } of archive.list(manifestKey(range).replace(/json$/, ''), { signal })) {
    if (parseRangeKey(key) !== undefined) manifests.push(key)
  }
  const newest = manifests.pop()
  if (newest === undefined || manifests.length === 0) return
  const { objects } = await readManifest(archive, newest, signal)
  const kept = new Set(objects.map(({ key }) => key))
  for (const old of manifests) {
    for (const { key } of (await readManifest(archive, old, signal)).objects) {
      if (!kept.has(key)) await archive.delete(key, signal)
    }
    await archive.delete(old, signal)
  }
}

import type { Erase } from '../../shared/deletions/domain/erase.ts'
import { loggedEvent } from '../archive/logged-event.ts'
import { draftObject, type ObjectDraft } from '../archive/object-draft.ts'
import { readObject } from '../archive/read-archive.ts'
import { encodeEvent, frameEvent } from '../../shared/events/codec.ts'
import { lineBytesMax, writeLine } from '../domain/line.ts'
import type { ArchivedObject, Manifest } from '../domain/manifest.ts'
import type { EraseDeps } from './erase-deps.ts'

/** Whether `erase` takes anything out of an object; it is read up to the first such event. Rejects as `readObject` does. */
export async function isTouched(
  { archive, signal }: Pick<EraseDeps, 'archive' | 'signal'>,
  object: ArchivedObject,
  erase: Erase,
): Promise<boolean> {
  for await (const batch of readObject(archive, object, signal)) {
    for (const archived of batch) {
      const before = loggedEvent(object, archived)
      if (erase(before) !== before) return true
    }
  }
  return false
}

/** An object's content without what was erased. */
export interface ErasedContent {
  /** To be disposed of. */
  readonly draft: ObjectDraft
  readonly erased: number
  readonly changed: number
  /** What the manifest says of it, but for its key and place; undefined when all of its events are gone. */
  readonly object: Omit<ArchivedObject, 'key' | 'at' | 'file_bytes'> | undefined
}

/** Writes an object's lines anew without what `erase` takes out, compressed by itself. Rejects as `readObject` does. */
export async function eraseContent(
  { archive, folder, signal }: Pick<EraseDeps, 'archive' | 'folder' | 'signal'>,
  object: ArchivedObject,
  erase: Erase,
): Promise<ErasedContent> {
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
  const { project, collection, hour, format } = object
  const written = first !== undefined && {
    project,
    collection,
    hour,
    format,
    events,
    first: String(first),
    last: String(last),
    bytes: draft.body.bytes,
    sha256: draft.sha256,
    content_bytes: draft.contentBytes,
    content_sha256: draft.contentSha256,
  }
  return { draft, erased, changed, object: written === false ? undefined : written }
}

/** A range's manifest with other objects, of which as many events were erased. */
export const withoutErased = (before: Manifest, objects: readonly ArchivedObject[], erased: number): Manifest => ({
  ...before,
  events: before.events - erased,
  erased: (before.erased ?? 0) + erased,
  objects: [...objects],
})

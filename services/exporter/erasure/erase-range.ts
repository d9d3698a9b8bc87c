import type { Erase } from '../../shared/deletions/domain/erase.ts'
import { putOnce } from '../archive/put-once.ts'
import { type ArchivedRange, readNewest, readRange } from '../archive/read-archive.ts'
import { putNextManifest } from '../archive/revise-range.ts'
import { manifestKey, objectKey, type RangeName } from '../domain/archive-key.ts'
import { type ArchivedObject, isMerged } from '../domain/manifest.ts'
import { eraseContent, isTouched, withoutErased } from './erase-content.ts'
import { type EraseDeps, type ErasedObjects, NOTHING_ERASED, sumOf } from './erase-deps.ts'
import type { MergedFiles } from './merged-files.ts'
import { removeReplaced, replacedFiles } from './remove-replaced.ts'

/** What is erased, and where: `isConcerned` spares reading the rest. */
export interface Erasing {
  readonly isConcerned: (object: ArchivedObject) => boolean
  readonly erase: Erase
  readonly merged: MergedFiles
}

/**
 * Takes out of one range's files what `erase` takes out of events: the objects that hold such are written anew beside the
 * old ones, then the range's next manifest, and only then the old ones are deleted. A reader of manifests sees all of it
 * or none; broken off anywhere, it is done again and comes to the same. Of a merged file in which there is such, all
 * ranges are done. Rejects as the bucket does, and with ARCHIVE_DAMAGED.
 */
export async function eraseRange(deps: EraseDeps, range: ArchivedRange, erasing: Erasing): Promise<ErasedObjects> {
  const { archive, signal } = deps
  const listed = await readRange(archive, range, signal)
  const unsure = range.hasOlder ? await rewriteUnsure(deps, range, listed.manifest.objects, erasing) : NOTHING_ERASED
  const inMerged = sumOf(unsure, await eraseInMerged(deps, listed.manifest.objects, erasing))
  const inOwn = await eraseOwn(deps, range, inMerged.objects === 0 ? listed : undefined, erasing)
  // An attempt that broke off may have left older ones.
  if (inOwn.objects > 0 || range.hasOlder) await removeReplaced(deps, manifestKey(range), erasing.merged)
  return sumOf(inMerged, inOwn)
}

/** An attempt broke off: of a file that some ranges name no more, and of the one that they name instead, no other bytes may stay. */
async function rewriteUnsure(
  deps: EraseDeps,
  range: RangeName,
  objects: readonly ArchivedObject[],
  { erase, merged }: Erasing,
): Promise<ErasedObjects> {
  let total = NOTHING_ERASED
  const replaced = await replacedFiles(deps, manifestKey(range))
  for (const key of [...replaced, ...objects.filter(isMerged).map((object) => object.key)]) {
    if (!merged.isClean(key)) total = sumOf(total, await merged.rewrite(key, erase))
  }
  return total
}

async function eraseInMerged(
  deps: EraseDeps,
  objects: readonly ArchivedObject[],
  { isConcerned, erase, merged }: Erasing,
): Promise<ErasedObjects> {
  let total = NOTHING_ERASED
  for (const object of objects) {
    if (!isMerged(object) || merged.isClean(object.key) || !isConcerned(object)) continue
    if (await isTouched(deps, object, erase)) {
      total = sumOf(total, await merged.rewrite(object.key, erase))
    }
  }
  return total
}

async function eraseOwn(
  deps: EraseDeps,
  range: RangeName,
  listed: Awaited<ReturnType<typeof readNewest>> | undefined,
  erasing: Erasing,
): Promise<ErasedObjects> {
  const { archive, signal } = deps
  const { key, manifest } = listed ?? (await readNewest(archive, manifestKey(range), signal))
  let total = NOTHING_ERASED
  const objects: ArchivedObject[] = []
  for (const object of manifest.objects) {
    const isOwn = !isMerged(object) && erasing.isConcerned(object)
    const found = isOwn ? await eraseObject(deps, range, object, erasing.erase) : undefined
    if (found === undefined) {
      objects.push(object)
      continue
    }
    if (found.object !== undefined) objects.push(found.object)
    total = sumOf(total, { ...found, objects: 1 })
  }
  if (total.objects === 0) return total
  await deps.confirm()
  if (await putNextManifest(archive, key, withoutErased(manifest, objects, total.erased), signal)) return total
  // Another one wrote the next manifest first, and knew of other deletions: what is left to do is seen from there.
  return eraseOwn(deps, range, undefined, erasing)
}

/** Undefined when nothing of it changes. Without an object: all of its events are gone. */
async function eraseObject(
  deps: EraseDeps,
  range: RangeName,
  object: ArchivedObject,
  erase: Erase,
): Promise<{ object: ArchivedObject | undefined; erased: number; changed: number } | undefined> {
  const { archive, signal } = deps
  const content = await eraseContent(deps, object, erase)
  const { draft, erased, changed } = content
  try {
    if (erased + changed === 0) return undefined
    if (content.object === undefined) return { object: undefined, erased, changed }
    const { project, collection, format } = object
    const part = { project, collection, hourMs: Date.parse(object.hour) }
    // By its content, so that whoever does it again finds it, and one with other content has another name.
    const key = objectKey(range, part, `${draft.contentSha256.slice(0, 16)}.${format}`)
    const put = await putOnce(archive, key, draft.body, draft, { contentType: 'application/octet-stream', signal })
    const stored = put.outcome === 'matched' ? { bytes: put.bytes, sha256: put.sha256 } : {}
    return { object: { key, ...content.object, ...stored }, erased, changed }
  } finally {
    await draft.dispose()
  }
}

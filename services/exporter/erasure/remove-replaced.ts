import { isMissing, manifestsOf, readManifest } from '../archive/read-archive.ts'
import { type ArchivedObject, isMerged } from '../domain/manifest.ts'
import type { EraseDeps } from './erase-deps.ts'
import type { MergedFiles } from './merged-files.ts'

/**
 * Deletes what older manifests of a range name and the newest does not, then these manifests. A merged file that another
 * range's newest manifest names stays, and so does the older manifest: it says that this is not over. `firstKey` is that
 * of the range's first manifest. Rejects as the bucket does, and with ARCHIVE_DAMAGED.
 */
export async function removeReplaced(
  deps: EraseDeps,
  firstKey: string,
  merged: Pick<MergedFiles, 'removeUnlessNamed'>,
): Promise<void> {
  const { archive, signal } = deps
  const manifests = await manifestsOf(deps.archive, firstKey, deps.signal)
  const newest = manifests.pop()
  if (newest === undefined || manifests.length === 0) return
  const objects = await objectsOf(deps, newest)
  if (objects === undefined) return
  const kept = new Set(objects.map(({ key }) => key))
  for (const old of manifests) {
    let isOver = true
    for (const object of (await objectsOf(deps, old)) ?? []) {
      if (kept.has(object.key)) continue
      if (isMerged(object)) isOver = (await merged.removeUnlessNamed(object.key)) && isOver
      else await archive.delete(object.key, signal)
    }
    if (isOver) await archive.delete(old, signal)
  }
}

/** Merged files that manifests of a range name which are not the newest. Rejects as `removeReplaced` does. */
export async function replacedFiles(deps: EraseDeps, firstKey: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const old of (await manifestsOf(deps.archive, firstKey, deps.signal)).slice(0, -1)) {
    for (const object of (await objectsOf(deps, old)) ?? []) if (isMerged(object)) found.push(object.key)
  }
  return found
}

/** Undefined when somebody else has removed the manifest. */
async function objectsOf({ archive, signal }: EraseDeps, key: string): Promise<readonly ArchivedObject[] | undefined> {
  try {
    return (await readManifest(archive, key, signal)).objects
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

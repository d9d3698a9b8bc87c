import { readManifest } from '../archive/read-archive.ts'
import { parseRangeKey } from '../domain/archive-key.ts'
import { isMerged } from '../domain/manifest.ts'
import type { EraseDeps } from './erase-deps.ts'

/**
 * Deletes what older manifests of a range name and the newest does not, then these manifests; of merged files those that
 * no other range's newest manifest names. `firstKey` is that of the range's first manifest. Rejects as the bucket does,
 * and with ARCHIVE_DAMAGED.
 */
export async function removeReplaced(
  { archive, signal }: EraseDeps,
  firstKey: string,
  merged: { removeUnlessNamed(key: string): Promise<void> },
): Promise<void> {
  const manifests: string[] = []
  for await (const { key } of archive.list(firstKey.replace(/json$/, ''), { signal })) {
    if (parseRangeKey(key) !== undefined) manifests.push(key)
  }
  const newest = manifests.pop()
  if (newest === undefined || manifests.length === 0) return
  const { objects } = await readManifest(archive, newest, signal)
  const kept = new Set(objects.map(({ key }) => key))
  for (const old of manifests) {
    for (const object of (await readManifest(archive, old, signal)).objects) {
      if (kept.has(object.key)) continue
      if (isMerged(object)) await merged.removeUnlessNamed(object.key)
      else await archive.delete(object.key, signal)
    }
    await archive.delete(old, signal)
  }
}

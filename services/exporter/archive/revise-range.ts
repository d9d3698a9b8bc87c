import { bodyOf } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { manifestKey, parseRangeKey } from '../domain/archive-key.ts'
import { type Manifest, manifestText } from '../domain/manifest.ts'
import { putOnce } from './put-once.ts'
import { readNewest } from './read-archive.ts'
import { sha256Of } from './sha256.ts'

/**
 * Gives a range its next manifest, made of its newest one; when another one was written first, made of that one. False
 * when `change` has nothing to change. Rejects as the bucket does, and with ARCHIVE_DAMAGED.
 */
export async function reviseRange(
  archive: Bucket,
  firstKey: string,
  change: (manifest: Manifest) => Manifest | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  for (;;) {
    const { key, manifest } = await readNewest(archive, firstKey, signal)
    const next = change(manifest)
    if (next === undefined) return false
    if (await putNextManifest(archive, key, next, signal)) return true
  }
}

/** Writes the manifest that follows the one at `key`; false when another one has its name. */
export async function putNextManifest(
  archive: Bucket,
  key: string,
  next: Manifest,
  signal: AbortSignal,
): Promise<boolean> {
  const range = parseRangeKey(key)
  if (range === undefined) throw new Error('not the key of a manifest')
  const text = Buffer.from(manifestText(next))
  const sha256 = sha256Of(text)
  const options = { contentType: 'application/json', signal }
  const stamp = { sha256, contentSha256: sha256 }
  const { outcome } = await putOnce(archive, manifestKey(range, range.revision + 1), bodyOf(text), stamp, options)
  return outcome !== 'mismatched'
}

import { LRUCache } from 'lru-cache'
import type { Bucket } from '../../shared/bucket/port.ts'
import { readWhole } from '../../shared/bucket/body.ts'
import { manifestKey, type RangeName } from '../domain/archive-key.ts'
import { hasCode } from '../../shared/errors.ts'
import { newestManifest } from '../archive/read-archive.ts'
import { parseManifest } from '../domain/manifest.ts'

/** What the manifest of a range says of its objects: none is there, it cannot be read, or their sizes by key. */
export type KnownManifest = 'none' | 'unreadable' | ReadonlyMap<string, number>

/** Names of objects that are remembered, over all manifests. */
const NAMES_MAX = 100_000

/** Manifests looked up by range; those used last stay in memory. */
export class KnownManifests {
  readonly #bucket: Bucket
  readonly #signal: AbortSignal
  readonly #cache = new LRUCache<string, Exclude<KnownManifest, undefined>>({
    maxSize: NAMES_MAX,
    sizeCalculation: (known) => (typeof known === 'string' ? 1 : known.size + 1),
  })

  constructor(bucket: Bucket, signal: AbortSignal) {
    this.#bucket = bucket
    this.#signal = signal
  }

  async of(range: RangeName): Promise<KnownManifest> {
    const key = manifestKey(range)
    const cached = this.#cache.get(key)
    if (cached !== undefined) return cached
    const newest = await newestManifest(this.#bucket, key, this.#signal).catch((error: unknown) => {
      if (hasCode(error, 'ARCHIVE_DAMAGED')) return undefined
      throw error
    })
    const bytes = newest === undefined ? undefined : await readWhole(this.#bucket, newest, this.#signal)
    const manifest = bytes && parseManifest(bytes)
    const sizes = manifest && new Map(manifest.objects.map((object) => [object.key, object.bytes]))
    const known = bytes === undefined ? 'none' : (sizes ?? 'unreadable')
    this.#cache.set(key, known)
    return known
  }
}

import { LRUCache } from 'lru-cache'
import type { Bucket } from '../../shared/bucket/port.ts'
import { readWhole } from '../../shared/bucket/body.ts'
import { manifestsOf } from '../archive/read-archive.ts'
import { manifestKey, type RangeName } from '../domain/archive-key.ts'
import { type Manifest, parseManifest } from '../domain/manifest.ts'

interface NamedObject {
  /** Its own, and those of the file in which it lies: the same where it lies there alone. */
  readonly bytes: number
  readonly fileBytes: number
}

/** What the manifests of a range say of its objects. */
export interface KnownObjects {
  /** By key: the newest one. */
  readonly named: ReadonlyMap<string, NamedObject>
  /** Keys that older ones name, which are there still: they were replaced, and are about to be removed. */
  readonly replaced: ReadonlySet<string>
}

/** None is there, the newest cannot be read, or what they say. */
export type KnownManifest = 'none' | 'unreadable' | KnownObjects

/** Names of objects that are remembered, over all manifests. */
const NAMES_MAX = 100_000
const TRIES_MAX = 3

/** Manifests looked up by range; those used last stay in memory. */
export class KnownManifests {
  readonly #bucket: Bucket
  readonly #signal: AbortSignal
  readonly #cache = new LRUCache<string, KnownManifest>({
    maxSize: NAMES_MAX,
    sizeCalculation: (known) => (typeof known === 'string' ? 1 : known.named.size + known.replaced.size + 1),
  })

  constructor(bucket: Bucket, signal: AbortSignal) {
    this.#bucket = bucket
    this.#signal = signal
  }

  async of(range: RangeName): Promise<KnownManifest> {
    return this.#cache.get(manifestKey(range)) ?? this.ofNow(range)
  }

  /** As they are now, whatever was known of them. */
  async ofNow(range: RangeName): Promise<KnownManifest> {
    const key = manifestKey(range)
    const known = await this.#look(key)
    this.#cache.set(key, known)
    return known
  }

  async #look(firstKey: string, tries = TRIES_MAX): Promise<KnownManifest> {
    const keys = await manifestsOf(this.#bucket, firstKey, this.#signal)
    const newest = keys.pop()
    const manifest = newest === undefined ? 'none' : await this.#read(newest)
    // Replaced between the two: its successor is there.
    if (manifest === 'none' && newest !== undefined && tries > 1) return this.#look(firstKey, tries - 1)
    if (typeof manifest === 'string') return manifest
    const named = new Map<string, NamedObject>()
    for (const { key, bytes, file_bytes: fileBytes = bytes } of manifest.objects) named.set(key, { bytes, fileBytes })
    const replaced = new Set<string>()
    for (const old of keys) {
      const before = await this.#read(old)
      if (typeof before === 'string') continue
      for (const { key } of before.objects) if (!named.has(key)) replaced.add(key)
    }
    return { named, replaced }
  }

  async #read(key: string): Promise<Manifest | 'none' | 'unreadable'> {
    const bytes = await readWhole(this.#bucket, key, this.#signal)
    return bytes === undefined ? 'none' : (parseManifest(bytes) ?? 'unreadable')
  }
}

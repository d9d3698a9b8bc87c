import { LRUCache } from 'lru-cache'
import type { Bucket } from '../../shared/bucket/port.ts'
import { hasCode } from '../../shared/errors.ts'
import { readCompactionPlan } from '../archive/compaction-plans.ts'
import { parseRangeKey } from '../domain/archive-key.ts'
import { compactionKey, type CompactionPlan } from '../domain/compaction.ts'
import { type MergedName, parseMergedKey } from '../domain/merged-key.ts'
import type { KnownManifest, KnownManifests } from './known-manifests.ts'

const PLANS_MAX = 4

/** What the manifests have to say of a merged file. */
export type MergedState =
  | { readonly state: 'unplanned' | 'in_flight' | 'unnamed' | 'replaced' }
  /** How many of its bytes they name, and how many they say it has; undefined where one of them cannot be read. */
  | { readonly state: 'named'; readonly bytes: number | undefined; readonly fileBytes: number }

interface KnownPlan {
  readonly plan: CompactionPlan
  readonly isDone: boolean
}

/** Whether it is that merged file, or what became of it. */
function isOfFamily(key: string, plan: number, index: number): boolean {
  const name = parseMergedKey(key)
  return name?.plan === plan && name.index === index
}

/** Looks merged files up by what their plans say of their ranges. */
export class MergedStates {
  readonly #bucket: Bucket
  readonly #manifests: KnownManifests
  readonly #signal: AbortSignal
  readonly #plans = new LRUCache<number, KnownPlan>({ max: PLANS_MAX })

  constructor(bucket: Bucket, manifests: KnownManifests, signal: AbortSignal) {
    this.#bucket = bucket
    this.#manifests = manifests
    this.#signal = signal
  }

  /** Rejects as the bucket does. */
  async of(key: string, { plan: number, index }: MergedName): Promise<MergedState> {
    const known = await this.#plan(number)
    const merge = known?.plan.merges[index]
    if (known === undefined || merge === undefined) return { state: 'unplanned' }
    if (!known.isDone) return { state: 'in_flight' }
    let [bytes, fileBytes] = [0, 0]
    let [isReplaced, isMoving, isUnsure] = [false, false, false]
    for (const { manifest } of merge.pieces) {
      const found = await this.#manifest(manifest, key)
      if (typeof found === 'string') {
        isUnsure ||= found === 'unreadable'
        continue
      }
      const object = found.named.get(key)
      bytes += object?.bytes ?? 0
      fileBytes = Math.max(fileBytes, object?.fileBytes ?? 0)
      isReplaced ||= found.replaced.has(key)
      isMoving ||= [...found.replaced].some((other) => isOfFamily(other, number, index))
    }
    // In the middle of an erasure, some ranges name the file that was, and some the one that it becomes.
    if (bytes < fileBytes && isMoving) return { state: 'replaced' }
    if (bytes > 0 || isUnsure) return { state: 'named', bytes: isUnsure ? undefined : bytes, fileBytes }
    return { state: isReplaced ? 'replaced' : 'unnamed' }
  }

  /** Looked at again where it does not name the file: what was known may be of before it did. */
  async #manifest(firstKey: string, key: string): Promise<KnownManifest> {
    const range = parseRangeKey(firstKey)
    if (range === undefined) return 'none'
    const known = await this.#manifests.of(range)
    return typeof known !== 'string' && known.named.has(key) ? known : this.#manifests.ofNow(range)
  }

  async #plan(number: number): Promise<KnownPlan | undefined> {
    const known = this.#plans.get(number)
    if (known?.isDone === true) return known
    try {
      const isDone = (await this.#bucket.head(compactionKey(number, 'done'), this.#signal)) !== undefined
      const plan = known?.plan ?? (await readCompactionPlan(this.#bucket, number, this.#signal))
      if (plan === undefined) return undefined
      const found = { plan, isDone }
      this.#plans.set(number, found)
      return found
    } catch (error) {
      if (hasCode(error, 'ARCHIVE_DAMAGED')) return undefined
      throw error
    }
  }
}

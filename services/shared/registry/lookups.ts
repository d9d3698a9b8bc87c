import { LRUCache } from 'lru-cache'

/** Presented keys longer than this are not ours, and are not worth a hash. */
const PRESENTED_CHARS_MAX = 1_024

/**
 * The keyed hash of a presented key, remembered for the keys that were found by it. A pure function's memory: what a key
 * may do is looked up behind it every time, so a revocation has nothing to clear here.
 */
export class Lookups {
  readonly #lookup: (text: string) => string
  readonly #known: LRUCache<string, string>

  constructor(lookup: (text: string) => string, keysMax: number) {
    this.#lookup = lookup
    this.#known = new LRUCache({ max: keysMax })
  }

  /** What `find` finds by the key's hash; undefined when that is nothing. */
  resolve<T>(presented: string, find: (lookup: string) => T | undefined): T | undefined {
    if (presented.length > PRESENTED_CHARS_MAX) return undefined
    const known = this.#known.get(presented)
    if (known !== undefined) return find(known)
    const lookup = this.#lookup(presented)
    const found = find(lookup)
    // Only keys that exist: guesses must not push them out.
    if (found !== undefined) this.#known.set(presented, lookup)
    return found
  }
}

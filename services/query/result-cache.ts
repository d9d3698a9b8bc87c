import { LRUCache } from 'lru-cache'
import type { Grant } from '../shared/registry/grant.ts'
import { collectionsOf, type Query } from './language/tree.ts'

/** Up to this age a result is worth nothing: it is asked for anew. The API documents "more than 30 seconds". */
export const MAX_AGE_FLOOR_S = 30
const ENTRIES_MAX = 10_000
/** Of its JSON text; what a value takes in memory is more, and this is a bound rather than an account. */
const BYTES_PER_CHARACTER = 4

interface Entry {
  readonly result: unknown
  /** When its query began: what was stored later may not be in it. Monotonic. */
  readonly askedMs: number
  readonly projectId: string
  readonly collections: readonly string[]
}

/**
 * Results of queries that said how old a result may be, in this process, the longest unused thrown out first. What a
 * result may be reused for is its key: the project, the question, and the filters of the grant it was read under, so that
 * grants which see different rows never meet.
 */
export interface ResultCache {
  /** The result of this question, when it is no older than the query allows. `undefined`: there is none. */
  get(query: Query, grant: Grant): { readonly result: unknown } | undefined
  /** Call before the question is asked, and what it gives back with the result: it is kept unless `forget` came between. */
  asking(query: Query, grant: Grant): (result: unknown) => void
  /** Drops what was read from a collection, or from all of a project: its rows have changed. */
  forget(projectId: string, collection?: string): void
  readonly bytes: number
}

/** `nowMs`: monotonic. */
export function createResultCache(bytesMax: number, nowMs: () => number = () => performance.now()): ResultCache {
  const entries = new LRUCache<string, Entry>({ max: ENTRIES_MAX, maxSize: bytesMax, maxEntrySize: bytesMax / 8 })
  // Counts what was forgotten: a result that was on its way then is not kept.
  let forgotten = 0
  return {
    get(query, grant) {
      if (!isReusable(query)) return undefined
      const entry = entries.get(cacheKey(query, grant))
      if (entry === undefined || nowMs() - entry.askedMs > (query.maxAgeS ?? 0) * 1_000) return undefined
      return { result: entry.result }
    },
    asking(query, grant) {
      if (!isReusable(query)) return () => undefined
      const [askedMs, before] = [nowMs(), forgotten]
      return (result) => {
        if (forgotten !== before) return
        const key = cacheKey(query, grant)
        const size = (key.length + (JSON.stringify(result)?.length ?? 0)) * BYTES_PER_CHARACTER
        if (size > bytesMax / 8) return
        entries.set(key, { result, askedMs, projectId: grant.projectId, collections: collectionsOf(query) }, { size })
      }
    },
    forget(projectId, collection) {
      forgotten++
      for (const [key, entry] of entries.entries()) {
        if (entry.projectId !== projectId) continue
        if (collection === undefined || entry.collections.includes(collection)) entries.delete(key)
      }
    },
    get bytes() {
      return entries.calculatedSize
    },
  }
}

const isReusable = (query: Query): boolean =>
  query.maxAgeS !== null && query.maxAgeS > MAX_AGE_FLOOR_S && query.analysis.kind !== 'extraction'

/** Parsed forms, so that spelling does not matter; of the grant, what decides which rows it sees. */
function cacheKey(query: Query, grant: Grant): string {
  const { maxAgeS: _age, includeMetadata: _metadata, ...question } = query
  return JSON.stringify([grant.projectId, grant.rowFilters, question])
}

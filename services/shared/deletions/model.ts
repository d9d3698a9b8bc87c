import { parseFilters } from '../filters/parse.ts'
import type { Filter } from '../filters/filter.ts'
import type { Definition } from '../registry/model.ts'

/**
 * A deletion of events, of a property, or of a whole collection, as the control topic remembers it: what was asked to be
 * gone is left out of every answer from then on, is removed from the warehouse, and does not come back when the log is
 * read again. It concerns events that were received up to `atMs`; later ones are none of its business.
 */
export interface Deletion {
  readonly id: string
  readonly projectId: string
  readonly collection: string
  readonly what: DeletionKind
  /** Milliseconds since 1970. */
  readonly atMs: number
  /** When the events happened, end exclusive; null is whenever. */
  readonly timeframe: { readonly startMs: number; readonly endMs: number } | null
  /** Of the kind `events`: which; none is all. */
  readonly filters: readonly Filter[]
  /** Of the kind `property`: the names on the way to it. */
  readonly segments: readonly string[]
  readonly progress: DeletionProgress
}

export type DeletionKind = 'events' | 'property' | 'collection'

export interface DeletionProgress {
  readonly state: 'pending' | 'running' | 'done' | 'failed'
  /** Events in the warehouse that it concerned when it was asked for. */
  readonly matched: number
  readonly startedAtMs: number | null
  readonly doneAtMs: number | null
}

/** What stands in the definition's `value`. */
export interface DeletionRecord extends DeletionProgress {
  readonly collection: string
  readonly what: DeletionKind
  readonly atMs: number
  readonly timeframe: Deletion['timeframe']
  /** In the API's JSON form. */
  readonly filters: readonly unknown[]
  readonly property: string | null
}

const read = new WeakMap<Definition, Deletion | null>()

/** Null for one that this version cannot read: written by a later one. */
export function deletionOf(definition: Definition): Deletion | null {
  const known = read.get(definition)
  if (known !== undefined) return known
  const deletion = parse(definition)
  read.set(definition, deletion)
  return deletion
}

function parse({ name, projectId, value }: Definition): Deletion | null {
  const { collection, what, atMs, timeframe, filters, property, state, matched, startedAtMs, doneAtMs } =
    value as unknown as DeletionRecord
  if (typeof collection !== 'string' || typeof atMs !== 'number' || !KINDS.has(what)) return null
  if (what === 'property' && typeof property !== 'string') return null
  try {
    return {
      id: name,
      projectId,
      collection,
      what,
      atMs,
      timeframe,
      filters: parseFilters(filters),
      segments: property?.split('.') ?? [],
      progress: { state, matched, startedAtMs, doneAtMs },
    }
  } catch {
    return null
  }
}

const KINDS: ReadonlySet<unknown> = new Set<DeletionKind>(['events', 'property', 'collection'])

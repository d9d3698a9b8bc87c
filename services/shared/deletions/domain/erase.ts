import type { Deletion } from '../model.ts'
import { idText, type LoggedEvent } from '../../events/event.ts'
import { compileMatcher, type MatchedEvent, type Matcher, parseForMatching } from '../../filters/evaluate.ts'
import { withoutProperty } from './without-property.ts'

/** The deletions of a collection, oldest first. */
export interface KnownDeletions {
  /** True when there are none, so that nobody need ask for each event. */
  readonly isEmpty: boolean
  of(projectId: string, collection: string): readonly Deletion[]
}

export const NO_DELETIONS: KnownDeletions = { isEmpty: true, of: () => [] }

/** An event as it may be stored: itself, without the properties that were deleted, or null when it was deleted whole. */
export type Erase = (event: LoggedEvent) => LoggedEvent | null

/**
 * Applies deletions to what comes out of the log, so that reading it again brings nothing back. Events of collections
 * without deletions are not even parsed.
 */
export function createErase(known: KnownDeletions): Erase {
  const matchers = new WeakMap<Deletion, Matcher>()
  const matcherOf = (deletion: Deletion): Matcher => {
    const made = matchers.get(deletion) ?? compiled(deletion)
    matchers.set(deletion, made)
    return made
  }
  return (event) => {
    if (known.isEmpty) return event
    const deletions = known.of(event.project, event.collection)
    let current = event
    for (const deletion of deletions) {
      if (event.createdAtMs > deletion.atMs) continue
      if (deletion.what === 'property') {
        const properties = withoutProperty(current.properties, deletion.segments)
        if (properties !== current.properties) current = { ...current, properties }
        continue
      }
      if (
        isIn(current, deletion.timeframe) &&
        (deletion.filters.length === 0 || matcherOf(deletion)(parsed(current)))
      ) {
        return null
      }
    }
    return current
  }
}

/** Filters were tried before the deletion was taken; one that fails now all the same must not stop the loader. */
function compiled(deletion: Deletion): Matcher {
  try {
    return compileMatcher(deletion.filters)
  } catch {
    return () => false
  }
}

const isIn = (event: LoggedEvent, timeframe: Deletion['timeframe']): boolean =>
  timeframe === null || (event.timestampMs >= timeframe.startMs && event.timestampMs < timeframe.endMs)

function parsed(event: LoggedEvent): MatchedEvent {
  const { timestampMs, createdAtMs, properties } = event
  return { timestampMs, createdAtMs, id: idText(event.id), properties: parsedJson(properties) }
}

function parsedJson(text: Buffer): unknown {
  try {
    return parseForMatching(text.toString('utf8'))
  } catch {
    return undefined // the warehouse will refuse it, with its reason
  }
}

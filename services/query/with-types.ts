import { LRUCache } from 'lru-cache'
import type { Warehouse } from '../shared/warehouse/port.ts'
import { isNatural } from './language/columns.ts'
import type { SeenTypesIn } from './language/compile.ts'
import { lookedAt } from './language/looked-at.ts'
import type { Query } from './language/tree.ts'
import { catalogueTypes, type SeenByPath } from './seen-types.ts'

/** Asks a query's question, told what types its properties have; undefined: that is not known. */
export type WithTypes = <T>(
  query: Query,
  projectId: string,
  ask: (seen: SeenTypesIn | undefined) => Promise<T>,
  signal: AbortSignal,
) => Promise<T>

const REMEMBERED_MAX = 2_000
/** A query that looks at more of them is dear for other reasons. */
const PROPERTIES_MAX = 30

/** A question that is answered sooner than this is not worth the trouble, in milliseconds: without types, and with them. */
const WORTH_MS = { untyped: 25, typed: 10 }

interface Seen {
  readonly in: SeenTypesIn
  readonly text: string
  /** The warehouse's `changes` before it was read. */
  readonly changes: number | undefined
}

interface Remembered {
  seen: Seen | undefined
  /** Whether the last answer came so soon that the next one is better asked without. */
  isShort: boolean
}

/**
 * A question that knows its properties' types is answered up to twice as fast. So as not to wait for the catalogue, it is
 * asked with what the catalogue said the last time, while the catalogue is read again; when that says something else, the
 * question is asked once more. It is not read again where nothing can have changed it.
 */
export function createWithTypes(warehouse: Pick<Warehouse, 'changes' | 'read'>): WithTypes {
  const known = new LRUCache<string, Remembered>({ max: REMEMBERED_MAX })
  return async (query, projectId, ask, signal) => {
    const wanted = pathsOf(query)
    const count = [...wanted.values()].reduce((sum, paths) => sum + paths.size, 0)
    if (count === 0 || count > PROPERTIES_MAX) return ask(undefined)
    const key = JSON.stringify([projectId, [...wanted].map(([collection, paths]) => [collection, ...paths])])
    const memory = known.get(key) ?? { seen: undefined, isShort: false }
    known.set(key, memory)
    const read = async (): Promise<Seen> => {
      const { changes } = warehouse
      return (memory.seen = seenOf(await catalogueTypes(warehouse, projectId, wanted, signal), changes))
    }
    const timed = async (seen: Seen | undefined) => {
      const startedMs = performance.now()
      const answer = await ask(seen?.in)
      memory.isShort = performance.now() - startedMs < (seen === undefined ? WORTH_MS.untyped : WORTH_MS.typed)
      return answer
    }
    // What does not have to be read again costs nothing, however short the answer.
    if (memory.seen?.changes !== undefined && memory.seen.changes === warehouse.changes) return ask(memory.seen.in)
    if (memory.isShort) return timed(undefined)
    if (memory.seen === undefined) return timed(await read())
    const before = memory.seen
    const [answer, now] = await Promise.all([timed(before), read()])
    return now.text === before.text ? answer : timed(now)
  }
}

function pathsOf(query: Query): ReadonlyMap<string, ReadonlySet<string>> {
  if (query.analysis.kind === 'extraction') return new Map()
  return new Map(
    [...lookedAt(query)].map(([collection, properties]) => [
      collection,
      new Set(properties.filter(isNatural).map(({ name }) => name)),
    ]),
  )
}

function seenOf(types: ReadonlyMap<string, SeenByPath>, changes: number | undefined): Seen {
  const text = [...types].map(([collection, byPath]) => [
    collection,
    [...byPath].map(([path, seen]) => [path, [...seen].toSorted()]),
  ])
  return {
    in: (collection) => {
      const byPath = types.get(collection)
      return byPath && (({ name }) => byPath.get(name))
    },
    text: JSON.stringify(text),
    changes,
  }
}

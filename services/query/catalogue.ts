import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Grant } from '../shared/registry/grant.ts'
import type { ReadLimits, Warehouse } from '../shared/warehouse/port.ts'

/** In the words of the API. */
export type PropertyType = 'num' | 'string' | 'bool' | 'datetime' | 'array' | 'geo' | 'null'

export interface PropertyTypes {
  readonly path: string
  /** As they were first seen, oldest first; at least one. */
  readonly types: readonly PropertyType[]
}

export interface CatalogueEntry {
  readonly name: string
  /** The oldest properties first, those of `keen` that every event has before them. */
  readonly properties: readonly PropertyTypes[]
  /** The collection has more than are listed. */
  readonly isCut: boolean
}

export interface CataloguePage {
  readonly limit: number
  /** Names after this one, in byte order. */
  readonly after?: string
}

/** What collections and properties a project has, of what the grant may know: read from a table of their own, not from events. */
export interface Catalogue {
  /** By name. */
  collections(grant: Grant, page: CataloguePage, signal: AbortSignal): Promise<readonly string[]>
  entries(grant: Grant, page: CataloguePage, signal: AbortSignal): Promise<readonly CatalogueEntry[]>
  /** Undefined when no event of it is there. */
  entry(grant: Grant, collection: string, signal: AbortSignal): Promise<CatalogueEntry | undefined>
}

export interface CatalogueSettings {
  /** Properties that are listed of a collection. */
  readonly propertiesMax: number
  /** How old an answer may be, in milliseconds. */
  readonly ageMs: number
}

const LIMITS: ReadLimits = {
  executionS: 30,
  rowsToRead: 0,
  memoryBytes: 1024 ** 3,
  resultRows: 2_000_000,
  resultBytes: 256 * 1024 ** 2,
}
/** Of what is kept of earlier answers: each row is one property with one type. */
const CACHED_ROWS_MAX = 200_000

const OF_EVERY_EVENT: readonly PropertyTypes[] = [
  { path: 'keen.timestamp', types: ['datetime'] },
  { path: 'keen.created_at', types: ['datetime'] },
  { path: 'keen.id', types: ['string'] },
]
const COORDINATES = 'keen.location.coordinates'

interface Row {
  readonly collection: string
  readonly path: string
  readonly type: string
  readonly lastSeenMs: number
}

export function createCatalogue(
  warehouse: Warehouse,
  settings: CatalogueSettings,
  nowMs: () => number = () => performance.now(),
): Catalogue {
  const cache = new LRUCache<string, { readonly rows: readonly Row[]; readonly readMs: number }>({
    max: 1_000,
    maxSize: CACHED_ROWS_MAX,
    sizeCalculation: ({ rows }) => rows.length + 1,
  })

  const read = async (
    grant: Grant,
    conditions: string,
    params: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<readonly Row[]> => {
    const key = JSON.stringify([grant.projectId, conditions, params])
    const cached = cache.get(key)
    if (cached !== undefined && nowMs() - cached.readMs < settings.ageMs) return cached.rows
    const readMs = nowMs()
    const result = await warehouse.read({
      sql: `SELECT collection, path, type, toUnixTimestamp64Milli(max(last_seen))
FROM event_properties
WHERE project = {project:String}${conditions}
GROUP BY collection, path, type
ORDER BY collection, min(first_seen), path, type
LIMIT {perCollection:UInt32} BY collection`,
      // A property may have had several types; each collection has the row that says that it is there.
      params: { project: grant.projectId, perCollection: settings.propertiesMax * 4 + 1, ...params },
      limits: LIMITS,
      queryId: randomUUID(),
      signal,
    })
    const rows = result.rows.map(
      ([collection, path, type, lastSeenMs]): Row => ({
        collection: String(collection),
        path: String(path),
        type: String(type),
        lastSeenMs: Number(lastSeenMs),
      }),
    )
    cache.set(key, { rows, readMs })
    return rows
  }

  const pageOf = (page: CataloguePage) => ({
    conditions: ` AND collection IN (
  SELECT DISTINCT collection FROM event_properties
  WHERE project = {project:String} AND collection > {after:String} ORDER BY collection LIMIT {limit:UInt32})`,
    params: { after: page.after ?? '', limit: page.limit },
  })

  return {
    async collections(grant, page, signal) {
      const { conditions, params } = pageOf(page)
      const rows = await read(grant, `${conditions} AND path = ''`, params, signal)
      return rows.filter((row) => isThere(grant, row)).map((row) => row.collection)
    },
    async entries(grant, page, signal) {
      const { conditions, params } = pageOf(page)
      const byCollection = Map.groupBy(await read(grant, conditions, params, signal), (row) => row.collection)
      return [...byCollection].flatMap(([name, rows]) => entryOf(grant, name, rows, settings.propertiesMax) ?? [])
    },
    async entry(grant, collection, signal) {
      const rows = await read(grant, ' AND collection = {collection:String}', { collection }, signal)
      return entryOf(grant, collection, rows, settings.propertiesMax)
    },
  }
}

/** False for what was last seen before it was deleted, whether the table has been cleared of it yet or not. */
function isThere(grant: Grant, { collection, path, lastSeenMs }: Row): boolean {
  return !grant.deletionsOf(collection).some(({ what, atMs, segments }) => {
    if (what === 'events' || lastSeenMs > atMs) return false
    const deleted = segments.join('.')
    return what === 'collection' || path === deleted || path.startsWith(`${deleted}.`)
  })
}

function entryOf(grant: Grant, name: string, rows: readonly Row[], propertiesMax: number): CatalogueEntry | undefined {
  const there = rows.filter((row) => isThere(grant, row))
  if (there.length === 0) return undefined
  const byPath = Map.groupBy(
    there.filter(({ path }) => path !== ''),
    ({ path }) => path,
  )
  const own = [...byPath].map(([path, seen]): PropertyTypes => {
    return { path, types: [...new Set(seen.map(({ type }) => typeOf(path, type)))] }
  })
  return {
    name,
    properties: [...OF_EVERY_EVENT, ...own.slice(0, propertiesMax)],
    isCut: own.length > propertiesMax,
  }
}

/** ClickHouse's name of a type in the API's words. Nulls are not stored, so that no property is known as null alone. */
function typeOf(path: string, type: string): PropertyType {
  if (path === COORDINATES) return 'geo'
  if (type === 'String') return 'string'
  if (type === 'Bool') return 'bool'
  if (type.startsWith('Array')) return 'array'
  return /^(?:U?Int|Float|Decimal)\d*/.test(type) ? 'num' : 'string'
}

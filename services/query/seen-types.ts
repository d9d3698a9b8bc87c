import { randomUUID } from 'node:crypto'
import type { Grant } from '../shared/registry/grant.ts'
import type { ReadLimits, ReadResult, Warehouse } from '../shared/warehouse/port.ts'
import type { SeenTypes } from './language/columns.ts'
import type { CompiledSql } from './language/sql/compile.ts'
import { compileSeenObjects, compileSeenTypes } from './language/sql/seen-types.ts'

/** By property; one that was not seen has none. */
export type SeenByPath = ReadonlyMap<string, SeenTypes>

const LIMITS: ReadLimits = {
  executionS: 10,
  rowsToRead: 0,
  memoryBytes: 1024 ** 3,
  resultRows: 100_000,
  resultBytes: 16 * 1024 ** 2,
}

/**
 * The types that properties of collections have been seen with, as the catalogue has them. The catalogue learns of an event a
 * moment after the event is stored.
 */
export async function catalogueTypes(
  warehouse: Pick<Warehouse, 'read'>,
  projectId: string,
  wanted: ReadonlyMap<string, ReadonlySet<string>>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, SeenByPath>> {
  const { rows } = await warehouse.read({
    sql: `SELECT DISTINCT collection, path, type
FROM event_properties
WHERE project = {project:String} AND collection IN ({collections:Array(String)}) AND path IN ({paths:Array(String)})`,
    params: {
      project: projectId,
      collections: [...wanted.keys()],
      paths: [...new Set([...wanted.values()].flatMap((paths) => [...paths]))],
    },
    limits: LIMITS,
    queryId: randomUUID(),
    signal,
  })
  const seen = new Map(
    [...wanted].map(([collection, paths]) => [
      collection,
      new Map([...paths].map((path) => [path, new Set<string>()])),
    ]),
  )
  for (const [collection, path, type] of rows) seen.get(String(collection))?.get(String(path))?.add(String(type))
  return seen
}

/**
 * The same for who may be told: of a key without filters what the catalogue has; of one with filters what is in the rows
 * that it sees, and nothing else: what a column looks like must not tell of other rows.
 */
export async function visibleTypes(
  warehouse: Warehouse,
  grant: Grant,
  collection: string,
  paths: readonly string[],
  limits: ReadLimits,
  signal: AbortSignal,
): Promise<SeenByPath> {
  if (paths.length === 0) return new Map()
  const isTold = grant.rowFilters.length === 0
  const read = async (statement: Pick<CompiledSql, 'sql' | 'params'>) =>
    (await warehouse.read({ ...statement, limits, queryId: randomUUID(), signal })).rows
  const seen = isTold
    ? (await catalogueTypes(warehouse, grant.projectId, new Map([[collection, new Set(paths)]]), signal)).get(
        collection,
      )
    : await typesInRows(grant, collection, paths, read)
  const others = paths.filter((path) => (seen?.get(path)?.size ?? 0) === 0)
  const objects = others.length === 0 ? [] : await objectsAmong(grant, collection, others, isTold, read)
  return new Map([...(seen ?? []), ...objects.map((path) => [path, new Set(['Object'])] as const)])
}

type Read = (statement: Pick<CompiledSql, 'sql' | 'params'>) => Promise<ReadResult['rows']>

async function typesInRows(
  grant: Grant,
  collection: string,
  paths: readonly string[],
  read: Read,
): Promise<SeenByPath> {
  const [found = []] = await read(compileSeenTypes(grant, collection, paths))
  const types = found as readonly (readonly string[])[]
  return new Map(paths.map((path, i) => [path, new Set(types[i]?.filter((type) => type !== 'None'))]))
}

/** Those of the paths that stand before others. */
async function objectsAmong(
  grant: Grant,
  collection: string,
  paths: readonly string[],
  isTold: boolean,
  read: Read,
): Promise<readonly string[]> {
  if (!isTold) {
    const [found = []] = await read(compileSeenObjects(grant, collection, paths))
    return paths.filter((_, i) => Boolean(found[i]))
  }
  const rows = await read({
    sql: `SELECT DISTINCT arrayJoin(arrayFilter(parent -> startsWith(path, concat(parent, '.')), {paths:Array(String)}))
FROM event_properties
WHERE project = {project:String} AND collection = {collection:String}`,
    params: { project: grant.projectId, collection, paths },
  })
  return rows.map(([path]) => String(path))
}

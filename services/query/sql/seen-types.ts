import { randomUUID } from 'node:crypto'
import type { Grant } from '../../shared/registry/grant.ts'
import type { ReadLimits, ReadResult, Warehouse } from '../../shared/warehouse/port.ts'
import type { CompiledSql } from '../language/sql/compile.ts'
import type { SeenTypes } from '../language/sql/property-column.ts'
import { compileSeenObjects, compileSeenTypes } from '../language/sql/seen-types.ts'

/**
 * The types that properties of a collection have been seen with, in ClickHouse's words. Who sees all rows is told what the
 * catalogue has; a key with filters what is in the rows that it sees, and nothing else: what a column looks like must not
 * tell of other rows.
 */
export async function seenTypes(
  warehouse: Warehouse,
  grant: Grant,
  collection: string,
  paths: readonly string[],
  limits: ReadLimits,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, SeenTypes>> {
  if (paths.length === 0) return new Map()
  const read = async (statement: Pick<CompiledSql, 'sql' | 'params'>) =>
    (await warehouse.read({ ...statement, limits, queryId: randomUUID(), signal })).rows
  const seen = await typesOf(grant, collection, paths, read)
  const others = paths.filter((path) => (seen.get(path)?.size ?? 0) === 0)
  if (others.length === 0) return seen
  const objects = await objectsOf(grant, collection, others, read)
  return new Map([...seen, ...objects.map((path) => [path, new Set(['Object'])] as const)])
}

type Read = (statement: Pick<CompiledSql, 'sql' | 'params'>) => Promise<ReadResult['rows']>

async function typesOf(
  grant: Grant,
  collection: string,
  paths: readonly string[],
  read: Read,
): Promise<ReadonlyMap<string, SeenTypes>> {
  if (grant.rowFilters.length > 0) {
    const [found = []] = await read(compileSeenTypes(grant, collection, paths))
    const types = found as readonly (readonly string[])[]
    return new Map(paths.map((path, i) => [path, new Set(types[i]?.filter((type) => type !== 'None'))]))
  }
  const rows = await read({
    sql: `SELECT path, groupUniqArray(type)
FROM event_properties
WHERE project = {project:String} AND collection = {collection:String} AND path IN ({paths:Array(String)})
GROUP BY path`,
    params: { project: grant.projectId, collection, paths },
  })
  return new Map(rows.map(([path, types]) => [String(path), new Set(types as readonly string[])]))
}

/** Those of the paths that stand before others. */
async function objectsOf(
  grant: Grant,
  collection: string,
  paths: readonly string[],
  read: Read,
): Promise<readonly string[]> {
  if (grant.rowFilters.length > 0) {
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

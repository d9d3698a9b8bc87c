import { randomUUID } from 'node:crypto'
import type { Grant } from '../../shared/registry/grant.ts'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import type { SeenTypes } from '../language/sql/property-column.ts'
import { compileSeenTypes } from '../language/sql/seen-types.ts'

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
  const request = { limits, queryId: randomUUID(), signal }
  if (grant.rowFilters.length > 0) {
    const { rows } = await warehouse.read({ ...compileSeenTypes(grant, collection, paths), ...request })
    const found = (rows[0] ?? []) as readonly (readonly string[])[]
    return new Map(paths.map((path, i) => [path, new Set(found[i]?.filter((type) => type !== 'None'))]))
  }
  const { rows } = await warehouse.read({
    sql: `SELECT path, groupUniqArray(type)
FROM event_properties
WHERE project = {project:String} AND collection = {collection:String} AND path IN ({paths:Array(String)})
GROUP BY path`,
    params: { project: grant.projectId, collection, paths },
    ...request,
  })
  return new Map(rows.map(([path, types]) => [String(path), new Set(types as readonly string[])]))
}

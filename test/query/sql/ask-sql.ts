import { text } from 'node:stream/consumers'
import { AppError } from '../../../services/shared/errors.ts'
import type { Grant } from '../../../services/shared/registry/grant.ts'
import type { Warehouse } from '../../../services/shared/warehouse/port.ts'
import { beginSql } from '../../../services/query/sql/begin.ts'
import { parseSqlRequest } from '../../../services/query/sql/request.ts'
import { never, WIDE_LIMITS } from '../stored-events.ts'

/** A statement's whole way on a real warehouse: the caller's text in, rows as arrays in the order of the columns out. */
export function sqlOf(warehouse: Warehouse) {
  const requireCollection = async (grant: Grant, collection: string): Promise<void> => {
    const { rows } = await warehouse.read({
      sql: 'SELECT 1 FROM event_properties WHERE project = {project:String} AND collection = {collection:String} LIMIT 1',
      params: { project: grant.projectId, collection },
      limits: WIDE_LIMITS,
      queryId: crypto.randomUUID(),
      signal: never,
    })
    if (rows.length === 0) throw new AppError('ResourceNotFoundError', 'Resource not found.')
  }
  return async (
    grant: Grant,
    query: string,
    parameters: Readonly<Record<string, unknown>> = {},
  ): Promise<readonly (readonly unknown[])[]> => {
    const request = parseSqlRequest({ query, parameters, format: 'ndjson' }, undefined)
    const { source } = await beginSql({ warehouse, requireCollection }, request, grant, WIDE_LIMITS, never)
    const lines = (await text(source)).split('\n').filter((line) => line !== '')
    return lines.map((line) => Object.values(JSON.parse(line) as object) as unknown[])
  }
}

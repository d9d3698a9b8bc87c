import type { Grant } from '../../../services/shared/registry/grant.ts'
import type { Warehouse } from '../../../services/shared/warehouse/port.ts'
import { createCatalogue } from '../../../services/query/catalogue.ts'
import { prepareSql, readSql } from '../../../services/query/sql/run.ts'
import { never, WIDE_LIMITS } from '../stored-events.ts'

/** A statement's whole way on a real warehouse: the caller's text in, rows as arrays in the order of the columns out. */
export function sqlOf(warehouse: Warehouse) {
  const catalogue = createCatalogue(warehouse, { propertiesMax: 1_000, ageMs: 0 })
  return async (
    grant: Grant,
    query: string,
    parameters: Readonly<Record<string, unknown>> = {},
  ): Promise<readonly (readonly unknown[])[]> => {
    const deps = { warehouse, catalogue }
    const compiled = await prepareSql(deps, { query, parameters, format: 'json', includeMetadata: false }, grant, never)
    const { result } = await readSql(deps, compiled, WIDE_LIMITS, never)
    return result.map((row) => Object.values(row))
  }
}

import { randomUUID } from 'node:crypto'
import { compileQuery, type SeenTypesIn } from '../../services/query/language/compile.ts'
import { type AnalysisName, parseQuery } from '../../services/query/language/parse.ts'
import { shapeResult } from '../../services/query/language/shape.ts'
import { createWithTypes } from '../../services/query/with-types.ts'
import type { Grant } from '../../services/shared/registry/grant.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { never, WIDE_LIMITS } from './stored-events.ts'

/** The compiler's whole way on a real warehouse: a request's fields in, the answer's `result` out. */
export async function ask(
  warehouse: Warehouse,
  grant: Grant,
  analysis: AnalysisName,
  fields: Readonly<Record<string, unknown>>,
  nowMs: number,
  { isTyped = true }: { readonly isTyped?: boolean } = {},
): Promise<unknown> {
  const query = parseQuery(analysis, fields)
  const answer = async (seen: SeenTypesIn | undefined): Promise<unknown> => {
    const compiled = compileQuery(query, grant, nowMs, { seen })
    const { rows } = await warehouse.read({
      sql: compiled.sql,
      params: compiled.params,
      limits: WIDE_LIMITS,
      queryId: randomUUID(),
      signal: never,
    })
    return shapeResult(compiled.shape, rows)
  }
  return isTyped ? createWithTypes(warehouse)(query, grant.projectId, answer, never) : answer(undefined)
}

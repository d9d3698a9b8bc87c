import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { hasCode } from '../../shared/errors.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { ReadLimits, ReadResult, Warehouse } from '../../shared/warehouse/port.ts'
import { type CompiledSql, compileSql, needsOf } from '../language/sql/compile.ts'
import { parseSql } from '../language/sql/parse-query.ts'
import { shown, sqlError } from '../language/sql/position.ts'
import type { SeenTypes } from '../language/columns.ts'
import type { QueryRunner } from '../run-query.ts'
import { explainedSqlError } from './explain.ts'
import { SQL_FORMATS } from './formats.ts'
import type { SqlRequest } from './request.ts'
import { visibleTypes } from '../seen-types.ts'

export interface SqlDeps {
  readonly warehouse: Warehouse
  readonly requireCollection: QueryRunner['requireCollection']
}

export interface SqlColumn {
  readonly name: string
  /** ClickHouse's. */
  readonly type: string
}

/** Rows on their way out of the warehouse, in its own format. */
export interface SqlAnswer {
  readonly columns: readonly SqlColumn[]
  readonly source: Readable
}

const NULLS_ALONE = 'Nullable(Nothing)'
const NONE: SeenTypes = new Set()

/**
 * Begins a statement: what can be refused is refused here. Rejects with InvalidSqlError and the errors of
 * `Warehouse.stream`.
 */
export async function beginSql(
  deps: SqlDeps,
  request: SqlRequest,
  grant: Grant,
  limits: ReadLimits,
  signal: AbortSignal,
): Promise<SqlAnswer> {
  const { warehouse } = deps
  const node = parseSql(request.text)
  const needs = needsOf(node, grant, request.parameters)
  const seen = new Map<string, ReadonlyMap<string, SeenTypes>>()
  for (const [collection, { at, paths }] of needs) {
    await deps.requireCollection(grant, collection, limits, signal).catch((error: unknown) => {
      throw hasCode(error, 'ResourceNotFoundError')
        ? sqlError(`there is no collection ${shown(collection)}`, at)
        : error
    })
    seen.set(collection, await visibleTypes(warehouse, grant, collection, [...paths], limits, signal))
  }
  const typesOf = (collection: string, path: string): SeenTypes => seen.get(collection)?.get(path) ?? NONE
  const compile = (textColumns?: ReadonlySet<number>): CompiledSql =>
    compileSql(node, grant, request.parameters, typesOf, request.rowsMax, textColumns)
  const explain = (error: unknown): never => {
    throw explainedSqlError(error, request.text)
  }
  const run = { limits, signal }
  const statement = compile()
  const described = await warehouse
    .read({ ...run, ...statement, sql: `DESCRIBE TABLE (${statement.sql})`, queryId: randomUUID() })
    .catch(explain)
  const columns = columnsOf(described)
  // What is null in every row has a type that not every format has.
  const nulls = new Set([...columns.keys()].filter((i) => columns[i]?.type === NULLS_ALONE))
  const { engine } = SQL_FORMATS[request.format]
  const source = await warehouse
    .stream({ ...run, ...(nulls.size === 0 ? statement : compile(nulls)), format: engine, queryId: randomUUID() })
    .catch(explain)
  return {
    columns: columns.map(({ name, type }, i) => ({ name, type: nulls.has(i) ? 'Nullable(String)' : type })),
    source,
  }
}

const columnsOf = ({ rows }: ReadResult): readonly SqlColumn[] =>
  rows.map(([name, type]) => ({ name: String(name), type: String(type) }))

import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { AppError, hasCode } from '../../shared/errors.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import type { Catalogue } from '../catalogue.ts'
import type { PropertyTypes } from './collection-source.ts'
import { type CompiledSql, compileSql, tablesOf } from './compile.ts'
import { parseSql } from './parse.ts'
import type { SqlFormat, SqlRequest } from './request.ts'

export interface SqlDeps {
  readonly warehouse: Warehouse
  readonly catalogue: Catalogue
}

/** The caller's text as a statement that sees the grant's rows alone. Rejects with InvalidSqlError. */
export async function prepareSql(
  { catalogue }: SqlDeps,
  request: SqlRequest,
  grant: Grant,
  signal: AbortSignal,
): Promise<CompiledSql> {
  const query = parseSql(request.query)
  const types = new Map<string, PropertyTypes>()
  for (const name of tablesOf(query)) {
    const entry = await catalogue.entry(grant, name, signal)
    if (entry !== undefined) types.set(name, new Map(entry.properties.map(({ path, types: seen }) => [path, seen])))
  }
  return compileSql(query, { grant, typesOf: (name) => types.get(name), parameters: request.parameters })
}

export interface SqlAnswer {
  readonly result: readonly Readonly<Record<string, unknown>>[]
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rowsRead: number
  readonly elapsedS: number
}

/** The whole answer, rows as objects. Rejects with InvalidSqlError for what only the warehouse finds wrong. */
export async function readSql(
  { warehouse }: SqlDeps,
  compiled: CompiledSql,
  limits: ReadLimits,
  signal: AbortSignal,
): Promise<SqlAnswer> {
  const { sql, params, names } = compiled
  const found = await warehouse.read({ sql, params, limits, queryId: randomUUID(), signal }).catch(explained)
  return {
    result: found.rows.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]]))),
    columns: names.map((name, i) => ({ name, type: found.columns[i]?.type ?? '' })),
    rowsRead: found.rowsRead,
    elapsedS: found.elapsedS,
  }
}

const FORMATS: Readonly<Record<Exclude<SqlFormat, 'json'>, string>> = {
  csv: 'CSVWithNames',
  ndjson: 'JSONEachRow',
  arrow: 'ArrowStream',
  parquet: 'Parquet',
}

/** The answer as bytes, as they come. Rejects as `readSql`, before there is any. */
export async function streamSql(
  { warehouse }: SqlDeps,
  { sql, params }: CompiledSql,
  format: Exclude<SqlFormat, 'json'>,
  limits: ReadLimits,
  signal: AbortSignal,
): Promise<Readable> {
  return warehouse
    .stream({ sql, params, limits, queryId: randomUUID(), signal, format: FORMATS[format] })
    .catch(explained)
}

/** What the warehouse finds wrong in a statement, said without a word of the statement it got. */
const PROBLEMS: Readonly<Record<string, string>> = {
  ILLEGAL_TYPE_OF_ARGUMENT: 'a function or an operator does not take a value of this type; cast it with ::',
  NUMBER_OF_ARGUMENTS_DOESNT_MATCH: 'a function has too many or too few arguments',
  TOO_FEW_ARGUMENTS_FOR_FUNCTION: 'a function has too few arguments',
  TOO_MANY_ARGUMENTS_FOR_FUNCTION: 'a function has too many arguments',
  NO_COMMON_TYPE: 'values of different types stand where they must be of one; cast them with ::',
  TYPE_MISMATCH: 'values of different types are compared; cast one with ::',
  NOT_AN_AGGREGATE: 'a column is neither in GROUP BY nor in an aggregate',
  ILLEGAL_AGGREGATION: 'an aggregate stands inside another one, or in WHERE',
  CANNOT_COMPILE_REGEXP: 'a pattern is not a valid RE2 pattern',
  CANNOT_PARSE_TEXT: 'a text cannot be read as what it is compared with',
  CANNOT_PARSE_DATETIME: 'a text is no date',
  CANNOT_CONVERT_TYPE: 'a value cannot be cast',
  ARGUMENT_OUT_OF_BOUND: 'an argument is out of its range',
  INVALID_JOIN_ON_EXPRESSION: 'ON must compare columns of both tables',
  INCORRECT_RESULT_OF_SCALAR_SUBQUERY: 'a subquery that stands for a value gives more than one row',
}

function explained(error: unknown): never {
  if (!hasCode(error, 'WAREHOUSE_REJECTED')) throw error
  const type = error.details['clickhouseType']
  const problem = (typeof type === 'string' ? PROBLEMS[type] : undefined) ?? 'the statement cannot be run as it is'
  throw new AppError('InvalidSqlError', `The statement is understood, but ${problem}.`, { cause: error })
}

import { AppError } from '../../shared/errors.ts'
import type { Fields } from '../language/parse.ts'
import { SQL_BYTES_MAX } from './tokens.ts'

export const SQL_FORMATS = ['json', 'csv', 'ndjson', 'arrow', 'parquet'] as const
export type SqlFormat = (typeof SQL_FORMATS)[number]

export interface SqlRequest {
  readonly query: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly format: SqlFormat
  readonly includeMetadata: boolean
}

export const SQL_CONTENT_TYPES: Readonly<Record<SqlFormat, string>> = {
  json: 'application/json; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  ndjson: 'application/x-ndjson; charset=utf-8',
  arrow: 'application/vnd.apache.arrow.stream',
  parquet: 'application/vnd.apache.parquet',
}

const PARAMETERS_MAX = 200

/** A body; `accept` chooses the format when the body does not. Throws AppErrors that name the field. */
export function parseSqlRequest(body: Fields, accept: string | undefined): SqlRequest {
  const { query, parameters = null, format = null, include_metadata: includeMetadata = null } = body
  if (query === undefined || query === null || query === '') {
    throw new AppError('MissingRequiredRequestFieldError', 'query is required.')
  }
  if (typeof query !== 'string') throw invalid('query must be a text')
  if (Buffer.byteLength(query) > SQL_BYTES_MAX) throw invalid(`query must have at most ${SQL_BYTES_MAX} bytes`)
  if (parameters !== null && (typeof parameters !== 'object' || Array.isArray(parameters))) {
    throw invalid('parameters must be an object')
  }
  if (Object.keys(parameters ?? {}).length > PARAMETERS_MAX)
    throw invalid(`parameters must be at most ${PARAMETERS_MAX}`)
  if (includeMetadata !== null && typeof includeMetadata !== 'boolean')
    throw invalid('include_metadata must be true or false')
  return {
    query,
    parameters: (parameters ?? {}) as Fields,
    format: formatOf(format, accept),
    includeMetadata: includeMetadata ?? false,
  }
}

function formatOf(format: unknown, accept: string | undefined): SqlFormat {
  if (format === null || format === '') {
    const asked = SQL_FORMATS.find((name) => accept?.includes(SQL_CONTENT_TYPES[name].split(';')[0] ?? '') === true)
    return asked ?? 'json'
  }
  const known = SQL_FORMATS.find((name) => name === format)
  if (known === undefined) throw invalid(`format must be one of ${SQL_FORMATS.join(', ')}`)
  return known
}

const invalid = (problem: string): AppError => new AppError('InvalidRequestFieldError', `${problem}.`)

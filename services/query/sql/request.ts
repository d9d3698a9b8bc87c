import { AppError } from '../../shared/errors.ts'
import { BOUNDS } from '../language/sql/bounds.ts'
import type { ParameterValues } from '../language/sql/parameter-values.ts'
import { type SqlFormat, isSqlFormat, SQL_FORMATS } from './formats.ts'

export interface SqlRequest {
  readonly text: string
  readonly parameters: ParameterValues
  readonly format: SqlFormat
  readonly rowsMax: number | null
  readonly includeMetadata: boolean
}

const ROWS_MAX = 1_000_000_000

/** Throws MissingRequiredRequestFieldError, InvalidRequestFieldError. `accept` is the header, which chooses where the body does not. */
export function parseSqlRequest(fields: Readonly<Record<string, unknown>>, accept: string | undefined): SqlRequest {
  const { query, parameters, format, max_rows: rowsMax, include_metadata: includeMetadata } = fields
  if (query === undefined || query === null) {
    throw new AppError('MissingRequiredRequestFieldError', 'query is missing: the text of a SELECT.')
  }
  if (typeof query !== 'string') throw invalid('query must be a string.')
  if (Buffer.byteLength(query) > BOUNDS.textBytes) throw invalid(`query must have at most ${BOUNDS.textBytes} bytes.`)
  if (format !== undefined && format !== null && !isSqlFormat(format)) {
    throw invalid(`format must be one of ${Object.keys(SQL_FORMATS).join(', ')}.`)
  }
  const isRows = typeof rowsMax === 'number' && Number.isInteger(rowsMax) && rowsMax >= 1 && rowsMax <= ROWS_MAX
  if (rowsMax !== undefined && rowsMax !== null && !isRows) {
    throw invalid(`max_rows must be a whole number from 1 to ${ROWS_MAX}.`)
  }
  if (includeMetadata !== undefined && includeMetadata !== null && typeof includeMetadata !== 'boolean') {
    throw invalid('include_metadata must be true or false.')
  }
  return {
    text: query,
    parameters: parseParameters(parameters),
    format: isSqlFormat(format) ? format : acceptedFormat(accept),
    rowsMax: isRows ? rowsMax : null,
    includeMetadata: includeMetadata === true,
  }
}

function parseParameters(value: unknown): ParameterValues {
  if (value === undefined || value === null) return new Map()
  if (typeof value !== 'object' || Array.isArray(value))
    throw invalid('parameters must be an object of names and values.')
  const entries = Object.entries(value)
  if (entries.length > BOUNDS.parameters) throw invalid(`parameters has more than ${BOUNDS.parameters} names.`)
  for (const [name, item] of entries) {
    const items: readonly unknown[] = Array.isArray(item) ? item : [item]
    if (items.length > BOUNDS.parameterElements) {
      throw invalid(`parameters.${name.slice(0, 40)} has more than ${BOUNDS.parameterElements} elements.`)
    }
    if (items.every((one) => one === null || ['boolean', 'number', 'string'].includes(typeof one))) continue
    throw invalid(`parameters.${name.slice(0, 40)} must be null, true, false, a number, a text, or a list of these.`)
  }
  return new Map(entries)
}

/** The first type of the header that is one of ours; JSON for all else. */
function acceptedFormat(accept: string | undefined): SqlFormat {
  for (const part of (accept ?? '').split(',')) {
    const type = part.split(';')[0]?.trim().toLowerCase()
    for (const [format, { contentType }] of Object.entries(SQL_FORMATS)) {
      if (contentType.split(';')[0] === type && isSqlFormat(format)) return format
    }
  }
  return 'json'
}

const invalid = (message: string): AppError => new AppError('InvalidRequestFieldError', message)

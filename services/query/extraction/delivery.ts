import { AppError } from '../../shared/errors.ts'
import type { Fields } from '../language/parse.ts'
import type { ExtractionFormat } from './writers.ts'

/** How an extraction's events are wanted: in which form, and now or as a file. */
export interface Delivery {
  readonly format: ExtractionFormat
  readonly gzip: boolean
  /** True: a job that makes a file; false: the answer itself. */
  readonly isBackground: boolean
}

const FORMATS: Readonly<Record<string, ExtractionFormat>> = {
  'application/json': 'json',
  'text/csv': 'csv',
  'application/x-ndjson': 'ndjson',
  'application/json-stream': 'ndjson',
}

export const CONTENT_TYPES: Readonly<Record<ExtractionFormat, string>> = {
  json: 'application/json; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
  ndjson: 'application/x-ndjson; charset=utf-8',
}

const EMAIL_CHARS_MAX = 254

/**
 * `content_type`, `content_encoding`, `async`, and `email` or `email_address`, which makes a job as well. A file is CSV
 * unless asked otherwise, and its JSON is one event a line. Throws InvalidRequestFieldError.
 */
export function parseDelivery(fields: Fields): Delivery {
  const isBackground =
    parseEmail(fields['email'], 'email') ||
    parseEmail(fields['email_address'], 'email_address') ||
    parseAsync(fields['async'])
  const format = parseFormat(fields['content_type'], isBackground ? 'csv' : 'json')
  return {
    format: isBackground && format === 'json' ? 'ndjson' : format,
    gzip: parseEncoding(fields['content_encoding']),
    isBackground,
  }
}

const isAbsent = (value: unknown): boolean => value === undefined || value === null || value === ''

function parseFormat(value: unknown, absent: ExtractionFormat): ExtractionFormat {
  if (isAbsent(value)) return absent
  const type = typeof value === 'string' ? (value.split(';', 1)[0] ?? '').trim().toLowerCase() : ''
  const format = Object.hasOwn(FORMATS, type) ? FORMATS[type] : undefined
  if (format !== undefined) return format
  throw invalid(`content_type must be one of ${Object.keys(FORMATS).join(', ')}`)
}

function parseEncoding(value: unknown): boolean {
  if (isAbsent(value)) return false
  if (typeof value === 'string' && /^(?:gzip|identity)$/i.test(value)) return value.toLowerCase() === 'gzip'
  throw invalid('content_encoding must be gzip or identity')
}

/** True when there is one. No mail is sent, so nothing is kept of it. */
function parseEmail(value: unknown, field: string): boolean {
  if (isAbsent(value)) return false
  if (typeof value === 'string' && value.length <= EMAIL_CHARS_MAX && /^[^\s@]+@[^\s@]+$/.test(value)) return true
  throw invalid(`${field} must be an e-mail address`)
}

function parseAsync(value: unknown): boolean {
  if (isAbsent(value)) return false
  if (typeof value === 'boolean') return value
  throw invalid('async must be true or false')
}

const invalid = (message: string): AppError => new AppError('InvalidRequestFieldError', `${message}.`)

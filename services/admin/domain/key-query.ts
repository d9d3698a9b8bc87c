import { requireText, wrong, type JsonObject } from './fields.ts'

const PAGE_MAX = 1_000_000
/** Default and maximum, as in the Keen API. A larger page is refused, not cut: a short page means that it is the last. */
const PER_PAGE_MAX = 200
const NAME_CHARS_MAX = 256

export interface KeyQuery {
  readonly name?: string
  readonly page: number
  readonly perPage: number
}

/** `name`, `page` (from 1), `per_page` of a listing. Throws InvalidRequestFieldError. */
export function parseKeyQuery(query: JsonObject): KeyQuery {
  const name = last(query['name'])
  return {
    page: parseCount(last(query['page']), 'page', PAGE_MAX) ?? 1,
    perPage: parseCount(last(query['per_page']), 'per_page', PER_PAGE_MAX) ?? PER_PAGE_MAX,
    ...(name !== undefined && name !== '' && { name: requireText(name, 'name', NAME_CHARS_MAX) }),
  }
}

const last = (value: unknown): unknown => (Array.isArray(value) ? value.at(-1) : value)

function parseCount(value: unknown, field: string, max: number): number | undefined {
  if (value === undefined || value === '') return undefined
  const count = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : 0
  if (count < 1 || count > max) throw wrong(field, `must be a whole number from 1 to ${max}`)
  return count
}

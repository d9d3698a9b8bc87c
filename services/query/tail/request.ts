import { AppError } from '../../shared/errors.ts'
import type { Filter } from '../../shared/filters/filter.ts'
import { parseFilters } from '../../shared/filters/parse.ts'
import { decodeParameters } from '../language/parameters.ts'
import { parseCollection } from '../language/parse-aggregate.ts'

export interface TailRequest {
  /** Null is all of them. */
  readonly collections: ReadonlySet<string> | null
  readonly filters: readonly Filter[]
  /** The share of the events that are looked at: above 0, at most 1. */
  readonly sample: number
  /** Events a second. */
  readonly rateMax: number
}

const COLLECTIONS_MAX = 100

/**
 * `event_collection` (any number of times, or a JSON array), `filters`, `sample`, `max_rate`. Throws the query language's
 * errors, InvalidRequestFieldError and InvalidJSONError, all naming the parameter.
 */
export function parseTailRequest(parameters: URLSearchParams, eventsPerSecondMax: number): TailRequest {
  const { filters } = decodeParameters(parameters)
  return {
    collections: parseCollections(parameters.getAll('event_collection')),
    filters: parseFilters(filters === '' ? undefined : filters),
    sample: parseNumber(
      parameters.get('sample'),
      'sample',
      1,
      (share) => share > 0 && share <= 1,
      'above 0, at most 1',
    ),
    rateMax: parseNumber(
      parameters.get('max_rate'),
      'max_rate',
      eventsPerSecondMax,
      (rate) => Number.isInteger(rate) && rate >= 1 && rate <= eventsPerSecondMax,
      `a whole number from 1 to ${eventsPerSecondMax}`,
    ),
  }
}

function parseCollections(texts: readonly string[]): ReadonlySet<string> | null {
  const names = texts
    .filter((text) => text !== '')
    .flatMap((text) => {
      const { event_collection: value } = decodeParameters(new URLSearchParams({ event_collection: text }))
      return Array.isArray(value) ? (value as readonly unknown[]) : [value]
    })
  if (names.length > COLLECTIONS_MAX) {
    throw new AppError('InvalidRequestFieldError', `event_collection must be at most ${COLLECTIONS_MAX} names.`)
  }
  return names.length === 0 ? null : new Set(names.map((name) => parseCollection(name)))
}

function parseNumber(
  text: string | null,
  field: string,
  fallback: number,
  isGood: (value: number) => boolean,
  rule: string,
): number {
  if (text === null || text.trim() === '') return fallback
  const value = Number(text)
  if (isGood(value)) return value
  throw new AppError('InvalidRequestFieldError', `${field} must be ${rule}.`)
}

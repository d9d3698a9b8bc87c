import { RE2JS } from 're2js'
import { AppError } from '../../shared/errors.ts'
import type { DeletionRecord } from '../../shared/deletions/model.ts'
import { walkFilters } from '../../shared/filters/filter.ts'
import { parseFilters } from '../../shared/filters/parse.ts'
import { parseProperty } from '../../shared/filters/property.ts'
import { decodeParameters } from '../language/parameters.ts'
import { parseTimeframe, resolveTimeframe } from '../language/timeframe.ts'
import { parseZone } from '../language/zone.ts'

/** What SDKs may add to any request. */
const HARMLESS = new Set(['api_key', 'jsonp', 'modified', '_'])
const SCOPE = new Set(['filters', 'timeframe', 'timezone', 'timeframe[start]', 'timeframe[end]'])
/** Each level of a path nests in the SQL that takes it out. */
const DEPTH_MAX = 20

export type DeletionScope = Pick<DeletionRecord, 'what' | 'filters' | 'timeframe' | 'property'>

/**
 * Which events a DELETE is about. Whatever is not understood is refused: it must never be taken for "all of them".
 * `body` is the parsed one, undefined when it is empty. Throws 4xx errors that name the parameter.
 */
export function parseDeletion(parameters: URLSearchParams, body: unknown, nowMs: number): DeletionScope {
  checkBody(body, parameters)
  for (const name of new Set(parameters.keys())) {
    if (HARMLESS.has(name)) continue
    if (!SCOPE.has(name)) throw wrong(name, 'is not known here, and nothing was deleted')
    if (parameters.getAll(name).length > 1) throw wrong(name, 'stands in the address twice')
    const text = (parameters.get(name) ?? '').trim()
    if (text === '' || text === 'null' || text === 'undefined') throw wrong(name, 'is empty')
  }
  const { filters, timeframe, timezone } = decodeParameters(parameters)
  for (const [name, value] of Object.entries({ filters, timeframe, timezone })) {
    if (value === null || value === '') throw wrong(name, 'is empty')
  }
  const zone = parseZone(timezone)
  for (const filter of walkFilters(parseFilters(filters))) if (filter.kind === 'matches') checkPattern(filter.pattern)
  const stretch = timeframe === undefined ? null : resolveTimeframe(parseTimeframe(timeframe), zone, nowMs)
  const kept = filters === undefined ? [] : (filters as readonly unknown[])
  return {
    what: kept.length === 0 && stretch === null ? 'collection' : 'events',
    filters: kept,
    timeframe: stretch && { startMs: stretch.startMs, endMs: stretch.endMs },
    property: null,
  }
}

/** Throws KeyNotAuthorizedError for a property of ours. */
export function parsePropertyDeletion(name: string): DeletionScope {
  const property = parseProperty(name, 'property')
  if (name === 'keen' || name.startsWith('keen.')) {
    throw new AppError('KeyNotAuthorizedError', 'Properties of keen cannot be deleted.')
  }
  if (property.kind === 'property' && property.segments.length > DEPTH_MAX) {
    throw new AppError('InvalidPropertyNameError', `property must be at most ${DEPTH_MAX} names deep to be deleted.`)
  }
  return { what: 'property', filters: [], timeframe: null, property: name }
}

/** The loader reads patterns with another engine than the warehouse; it must know this one too. */
function checkPattern(pattern: string): void {
  try {
    RE2JS.compile(pattern)
  } catch (error) {
    throw new AppError('InvalidFilterError', 'A filter’s regex is not a valid RE2 pattern.', { cause: error })
  }
}

/** The API has always taken the scope from the address; a caller who put it in the body would lose the whole collection. */
function checkBody(body: unknown, parameters: URLSearchParams): void {
  if (typeof body !== 'object' || body === null) return
  for (const name of ['filters', 'timeframe', 'timezone']) {
    if (!Object.hasOwn(body, name) || [...parameters.keys()].some((given) => given.startsWith(name))) continue
    throw wrong(name, 'stands in the body: it must be in the address, and nothing was deleted')
  }
}

const wrong = (name: string, problem: string): AppError =>
  new AppError('InvalidRequestError', `The parameter '${name.slice(0, 100)}' ${problem}.`)

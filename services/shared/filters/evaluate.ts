import { RE2JS } from 're2js'
import { AppError } from '../errors.ts'
import { warehouseDistance } from './distance.ts'
import type { Filter, Ordering, Property, Scalar } from './filter.ts'

/** What a filter looks at: an event that is not in the warehouse, or not yet. */
export interface MatchedEvent {
  readonly id: string
  readonly timestampMs: number
  readonly createdAtMs: number
  /** Parsed from JSON by `parseForMatching`, which keeps all digits of large integers. */
  readonly properties: unknown
}

export type Matcher = (event: MatchedEvent) => boolean

type Condition = Matcher
/** A JSON value; integers that a double does not hold are bigints. */
type Value = unknown

/**
 * Filters as a function over one event, with the truth that the SQL made of them has over its row: the loader, the live
 * tail and exports ask it before, or without, the warehouse. A property test holds the two together. Throws
 * InvalidFilterError for a pattern that is not RE2's.
 */
export function compileMatcher(filters: readonly Filter[]): Matcher {
  const conditions = filters.map(compile)
  return (event) => conditions.every((condition) => condition(event))
}

const INTEGER = /^-?\d+$/

/** JSON with integers beyond a double's as bigints. Throws SyntaxError. */
export function parseForMatching(text: string): unknown {
  return JSON.parse(text, (_name, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && INTEGER.test(context?.source ?? '')
      ? BigInt(context?.source ?? 0)
      : value,
  )
}

function compile(filter: Filter): Condition {
  switch (filter.kind) {
    case 'equals': {
      const { property, value } = filter
      return (event) => isAny(valueOf(event, property), (element) => equals(element, value))
    }
    case 'in': {
      const { property, values } = filter
      return (event) => isAny(valueOf(event, property), (element) => values.some((value) => equals(element, value)))
    }
    case 'compare': {
      const { property, ordering, value } = filter
      return (event) => compare(valueOf(event, property), ordering, value)
    }
    case 'exists':
      return (event) => isPresent(valueOf(event, filter.property))
    case 'contains': {
      const { property, value: part } = filter
      return (event) => {
        const value = valueOf(event, property)
        return typeof value === 'string' ? value.includes(part) : isAny(value, (element) => element === part)
      }
    }
    case 'matches': {
      // As ClickHouse asks: anywhere in the text, and a dot is any character.
      const pattern = compilePattern(filter.pattern)
      return (event) => {
        const value = valueOf(event, filter.property)
        return typeof value === 'string' && pattern.matcher(value).find()
      }
    }
    case 'within':
      return (event) => isWithin(valueOf(event, filter.property), filter)
    case 'not': {
      const inner = compile(filter.filter)
      return (event) => !inner(event)
    }
    case 'and':
    case 'or': {
      const parts = filter.filters.map(compile)
      return filter.kind === 'and'
        ? (event) => parts.every((part) => part(event))
        : (event) => parts.some((part) => part(event))
    }
    default:
      return filter satisfies never
  }
}

function compilePattern(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern, RE2JS.DOTALL)
  } catch (error) {
    throw new AppError('InvalidFilterError', 'A filter’s regex is not a valid RE2 pattern.', { cause: error })
  }
}

const isObject = (value: Value): value is Readonly<Record<string, Value>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function valueOf(event: MatchedEvent, property: Property): Value {
  switch (property.kind) {
    case 'timestamp':
      return new Date(event.timestampMs).toISOString()
    case 'created_at':
      return new Date(event.createdAtMs).toISOString()
    case 'id':
      return event.id
    case 'property': {
      let at: Value = event.properties
      for (const name of property.segments) at = isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined
      return at
    }
    default:
      return property satisfies never
  }
}

/** The value itself, or an element of an array; objects and lists in lists are never asked about. */
const isAny = (value: Value, test: (element: Value) => boolean): boolean =>
  Array.isArray(value) ? value.some(test) : test(value)

/** Filters hold numbers that doubles hold exactly, so a bigint, which is beyond those, equals none. */
const equals = (value: Value, wanted: Scalar): boolean => value === wanted

/** An object counts when there is something in it, somewhere. */
const isPresent = (value: Value): boolean =>
  isObject(value) ? Object.values(value).some(isPresent) : value !== undefined && value !== null

function compare(value: Value, ordering: Ordering, wanted: string | number): boolean {
  if (typeof wanted === 'string') return typeof value === 'string' && holds(compareText(value, wanted), ordering)
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number !== 'number') return false
  return holds(number < wanted ? -1 : number > wanted ? 1 : 0, ordering)
}

function holds(order: number, ordering: Ordering): boolean {
  switch (ordering) {
    case 'lt':
      return order < 0
    case 'lte':
      return order <= 0
    case 'gt':
      return order > 0
    case 'gte':
      return order >= 0
    default:
      return ordering satisfies never
  }
}

/** By their bytes in UTF-8, as the warehouse does it; UTF-16 sorts what lies beyond its first plane elsewhere. */
const compareText = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

const METRES_PER_MILE = 1_609.344

function isWithin(
  value: Value,
  circle: { readonly longitude: number; readonly latitude: number; readonly radiusMiles: number },
): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [longitude, latitude] = (value as readonly Value[]).map((degrees) =>
    typeof degrees === 'bigint' ? Number(degrees) : degrees,
  )
  if (typeof longitude !== 'number' || typeof latitude !== 'number') return false
  const metres = warehouseDistance(longitude, latitude, circle.longitude, circle.latitude)
  return metres <= circle.radiusMiles * METRES_PER_MILE
}

import { RE2JS } from 're2js'
import type { Filter, Ordering, Property, Scalar } from '../../shared/filters/filter.ts'

/** An event as filters look at it. */
export interface FilteredEvent {
  readonly timestampMs: number
  readonly createdAtMs: number
  /** As it is printed: a UUID with hyphens. */
  readonly id: string
  /** Parsed. */
  readonly properties: unknown
}

export type Matcher = (event: FilteredEvent) => boolean

const EARTH_METRES = 6_371_000
const METRES_PER_MILE = 1_609.344

/** All of the filters as one test, with the meaning that the query compiler's SQL gives them. Throws for a pattern that RE2 refuses. */
export function compileMatcher(filters: readonly Filter[]): Matcher {
  const tests = filters.map(compile)
  return (event) => tests.every((test) => test(event))
}

function compile(filter: Filter): Matcher {
  switch (filter.kind) {
    case 'equals':
      return equalsAny(filter.property, [filter.value])
    case 'in':
      return equalsAny(filter.property, filter.values)
    case 'compare': {
      const { property, ordering, value } = filter
      return (event) => {
        const found = valueOf(event, property)
        return typeof found === typeof value && compared(ordering, found as string | number, value)
      }
    }
    case 'exists':
      return (event) => isPresent(valueOf(event, filter.property))
    case 'contains':
      return (event) => {
        const found = valueOf(event, filter.property)
        if (typeof found === 'string') return found.includes(filter.value)
        return Array.isArray(found) && found.includes(filter.value)
      }
    case 'matches': {
      const pattern = RE2JS.compile(filter.pattern, RE2JS.DOTALL)
      return (event) => {
        const found = valueOf(event, filter.property)
        return typeof found === 'string' && pattern.matcher(found).find()
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
      const tests = filter.filters.map(compile)
      return filter.kind === 'and'
        ? (event) => tests.every((test) => test(event))
        : (event) => tests.some((test) => test(event))
    }
    default:
      return filter satisfies never
  }
}

function equalsAny(property: Property, values: readonly Scalar[]): Matcher {
  const wanted = new Set<unknown>(values)
  return (event) => {
    const found = valueOf(event, property)
    return wanted.has(found) || (Array.isArray(found) && found.some((element) => wanted.has(element)))
  }
}

function compared(ordering: Ordering, a: string | number, b: string | number): boolean {
  // Texts by their UTF-8 bytes, as the warehouse sorts them.
  const order = typeof a === 'string' ? Buffer.compare(Buffer.from(a), Buffer.from(String(b))) : a - Number(b)
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

function valueOf(event: FilteredEvent, property: Property): unknown {
  switch (property.kind) {
    case 'timestamp':
      return new Date(event.timestampMs).toISOString()
    case 'created_at':
      return new Date(event.createdAtMs).toISOString()
    case 'id':
      return event.id
    case 'property': {
      let found: unknown = event.properties
      for (const name of property.segments) {
        if (typeof found !== 'object' || found === null || Array.isArray(found) || !Object.hasOwn(found, name)) {
          return undefined
        }
        found = (found as Readonly<Record<string, unknown>>)[name]
      }
      return found
    }
    default:
      return property satisfies never
  }
}

/** Null is nothing, and so is an object in which nothing is. */
function isPresent(value: unknown): boolean {
  if (value === undefined || value === null) return false
  if (typeof value !== 'object' || Array.isArray(value)) return true
  return Object.values(value).some(isPresent)
}

function isWithin(value: unknown, circle: Extract<Filter, { kind: 'within' }>): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [longitude, latitude] = value as readonly unknown[]
  if (typeof longitude !== 'number' || typeof latitude !== 'number') return false
  const radians = (degrees: number): number => (degrees * Math.PI) / 180
  const haversine =
    Math.sin(radians(latitude - circle.latitude) / 2) ** 2 +
    Math.cos(radians(latitude)) *
      Math.cos(radians(circle.latitude)) *
      Math.sin(radians(longitude - circle.longitude) / 2) ** 2
  return 2 * EARTH_METRES * Math.asin(Math.min(1, Math.sqrt(haversine))) <= circle.radiusMiles * METRES_PER_MILE
}

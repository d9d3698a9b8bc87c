import { AppError } from '../errors.ts'
import { parseDateTime } from './datetime.ts'
import type { Filter, Ordering, Property, Scalar } from './filter.ts'
import { parseProperty } from './property.ts'

/** Ceilings for all filters of one request together. Past one the request is refused, so that SQL and its parameters stay bounded. */
const FILTERS_MAX = 100
const DEPTH_MAX = 10
const VALUES_MAX = 2_000
const TEXT_CHARS_MAX = 50_000
const PATTERN_CHARS_MAX = 1_000

const COORDINATES = 'keen.location.coordinates'
const ORDERINGS: ReadonlySet<string> = new Set<Ordering>(['lt', 'lte', 'gt', 'gte'])
const isOrdering = (operator: string): operator is Ordering => ORDERINGS.has(operator)

interface Budget {
  filters: number
  values: number
  chars: number
}

/**
 * Checks filters in the JSON form of the Keen API and gives them back as nodes, to be ANDed. Null and undefined are no
 * filters. `field` is what errors call the list. Throws InvalidFilterError, InvalidPropertyNameForGeoFilter.
 */
export function parseFilters(value: unknown, field = 'filters'): readonly Filter[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(field, 'must be an array of filters')
  const budget: Budget = { filters: 0, values: 0, chars: 0 }
  return value.map((item: unknown, i) => parseFilter(item, `${field}[${i}]`, budget, 1))
}

function parseFilter(value: unknown, field: string, budget: Budget, depth: number): Filter {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(field, 'must be an object')
  if (++budget.filters > FILTERS_MAX)
    throw invalid(field, `is one too many: at most ${FILTERS_MAX} filters are allowed`)
  const { operator, property_name, property_value, operands } = value as Readonly<Record<string, unknown>>
  if (typeof operator !== 'string') throw invalid(`${field}.operator`, 'is required and must be a string')
  if (operator === 'or' || operator === 'and') {
    return parseGroup(operator, operands ?? property_value, field, budget, depth)
  }
  const property = parsePropertyName(property_name, field)
  budget.chars += property.name.length
  const filter = parseOperator(operator, property, property_value, field, budget)
  if (budget.values > VALUES_MAX) throw invalid(field, `goes past ${VALUES_MAX} values in all filters together`)
  if (budget.chars > TEXT_CHARS_MAX)
    throw invalid(field, `goes past ${TEXT_CHARS_MAX} characters in all filters together`)
  return filter
}

function parseGroup(kind: 'and' | 'or', operands: unknown, field: string, budget: Budget, depth: number): Filter {
  if (!Array.isArray(operands) || operands.length === 0) {
    throw invalid(`${field}.operands`, 'must be an array of at least one filter')
  }
  if (depth >= DEPTH_MAX) throw invalid(field, `is nested more than ${DEPTH_MAX} deep`)
  const filters = operands.map((item: unknown, i) => parseFilter(item, `${field}.operands[${i}]`, budget, depth + 1))
  return { kind, filters }
}

function parsePropertyName(value: unknown, field: string): Property {
  try {
    return parseProperty(value, `${field}.property_name`)
  } catch (error) {
    throw new AppError('InvalidFilterError', error instanceof Error ? error.message : field, { cause: error })
  }
}

function parseOperator(operator: string, property: Property, value: unknown, field: string, budget: Budget): Filter {
  if (value === undefined) throw invalid(`${field}.property_value`, 'is required')
  const at = `${field}.property_value`
  if (isOrdering(operator)) {
    return { kind: 'compare', ordering: operator, property, value: parseComparable(value, property, at, budget) }
  }
  switch (operator) {
    case 'eq':
      return parseEquals(value, property, at, budget)
    case 'ne':
      return { kind: 'not', filter: parseEquals(value, property, at, budget) }
    case 'exists':
      if (typeof value !== 'boolean') throw invalid(at, 'must be true or false')
      return value ? { kind: 'exists', property } : { kind: 'not', filter: { kind: 'exists', property } }
    case 'in':
      if (!Array.isArray(value)) throw invalid(at, 'must be an array')
      return {
        kind: 'in',
        property,
        values: value.map((v: unknown, i) => parseScalar(v, property, `${at}[${i}]`, budget)),
      }
    case 'contains':
      return { kind: 'contains', property, value: parseText(value, at, budget) }
    case 'not_contains':
      return { kind: 'not', filter: { kind: 'contains', property, value: parseText(value, at, budget) } }
    case 'regex': {
      const pattern = parseText(value, at, budget)
      if (pattern.length > PATTERN_CHARS_MAX) throw invalid(at, `must be at most ${PATTERN_CHARS_MAX} characters`)
      return { kind: 'matches', property, pattern }
    }
    case 'within':
      return parseWithin(property, value, at)
    default:
      throw invalid(`${field}.operator`, 'is not a known operator')
  }
}

/** Null equals what is missing, as it does in the Keen API. */
function parseEquals(value: unknown, property: Property, at: string, budget: Budget): Filter {
  if (value === null) return { kind: 'not', filter: { kind: 'exists', property } }
  return { kind: 'equals', property, value: parseScalar(value, property, at, budget) }
}

function parseScalar(value: unknown, property: Property, at: string, budget: Budget): Scalar {
  budget.values++
  if (typeof value === 'boolean') return value
  if (typeof value === 'number') {
    // A double past 2^53 stands for several whole numbers; a key narrowed to one customer's id must not match another's.
    if (!Number.isFinite(value) || Math.abs(value) > Number.MAX_SAFE_INTEGER) {
      throw invalid(at, 'is too large to be compared exactly: numbers here must be within 2^53')
    }
    return value
  }
  if (typeof value === 'string') return parseTextFor(property, value, at, budget)
  throw invalid(at, 'must be a string, a number or a boolean')
}

function parseComparable(value: unknown, property: Property, at: string, budget: Budget): string | number {
  budget.values++
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (typeof value === 'string') return parseTextFor(property, value, at, budget)
  throw invalid(at, 'must be a string or a number')
}

/** The moments that Tributary keeps compare as moments, so what stands against them must be one; written in one form, it sorts as text does. */
function parseTextFor(property: Property, value: string, at: string, budget: Budget): string {
  const text = parseText(value, at, budget)
  if (property.kind !== 'timestamp' && property.kind !== 'created_at') return text
  const moment = parseDateTime(text)
  if (moment === undefined) throw invalid(at, `must be an ISO-8601 date and time, to stand against ${property.name}`)
  return new Date(moment.epochMs).toISOString()
}

function parseText(value: unknown, at: string, budget: Budget): string {
  if (typeof value !== 'string') throw invalid(at, 'must be a string')
  budget.chars += value.length
  return value
}

function parseWithin(property: Property, value: unknown, at: string): Filter {
  if (property.name !== COORDINATES) {
    throw new AppError(
      'InvalidPropertyNameForGeoFilter',
      `You specified a geo filter on a property other than ${COORDINATES}, which is not allowed.`,
    )
  }
  const { coordinates, max_distance_miles } = Object(value) as Readonly<Record<string, unknown>>
  const [longitude, latitude, more] = Array.isArray(coordinates) ? (coordinates as unknown[]) : []
  const radius =
    typeof max_distance_miles === 'string' && max_distance_miles.trim() !== ''
      ? Number(max_distance_miles)
      : max_distance_miles
  if (!isWithin(longitude, 180) || !isWithin(latitude, 90) || more !== undefined) {
    throw invalid(`${at}.coordinates`, 'must be [longitude, latitude] in degrees')
  }
  if (!isWithin(radius, 25_000) || radius < 0) throw invalid(`${at}.max_distance_miles`, 'must be a distance in miles')
  return { kind: 'within', property, longitude, latitude, radiusMiles: radius }
}

const isWithin = (value: unknown, bound: number): value is number =>
  typeof value === 'number' && Number.isFinite(value) && Math.abs(value) <= bound

const invalid = (field: string, problem: string): AppError => new AppError('InvalidFilterError', `${field} ${problem}.`)

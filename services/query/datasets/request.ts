import { AppError } from '../../shared/errors.ts'
import { bucketEdges } from '../language/interval.ts'
import type { Fields } from '../language/parse.ts'
import { parseTimeframe, resolveTimeframe } from '../language/timeframe.ts'
import type { Asked } from './answer.ts'
import { type Dataset, type IndexValue, type IndexValues, queryFor } from './definition.ts'

const VALUE_CHARS_MAX = 2_048
/** Each is a query of its own. */
export const BULK_VALUES_MAX = 20

/** The index values in a GET's parameter: bare text, or as JSON what a body has. Throws InvalidJSONError as well. */
export function indexParameter(text: string | null): unknown {
  if (text === null || !/^\s*[[{"]/.test(text)) return text
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new AppError('InvalidJSONError', 'index_by is not valid JSON.', { cause: error })
  }
}

/** One value where there is one property, a list in the definition's order, or an object by property. Throws AppErrors with status 400. */
export function parseIndexValues({ indexBy }: Dataset, given: unknown): IndexValues {
  if (given === undefined || given === null || given === '') {
    throw new AppError('MissingRequiredRequestFieldError', 'index_by is required.')
  }
  if (Array.isArray(given)) {
    if (given.length !== indexBy.length) throw wrong(`must have ${indexBy.length} values, one for each index property`)
    return given.map(parseValue)
  }
  if (typeof given === 'object') {
    const names = Object.keys(given)
    if (names.length !== indexBy.length || !indexBy.every((name) => Object.hasOwn(given, name))) {
      throw wrong(`must have a value for each of ${indexBy.join(', ')}, and no others`)
    }
    return indexBy.map((name) => parseValue((given as Fields)[name]))
  }
  if (indexBy.length !== 1) throw wrong(`must be an object with values for ${indexBy.join(', ')}`)
  return [parseValue(given)]
}

/** Of a bulk read: each as `parseIndexValues` takes them. */
export function parseBulkValues(dataset: Dataset, given: unknown): readonly IndexValues[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > BULK_VALUES_MAX) {
    throw wrong(`must be an array of 1 to ${BULK_VALUES_MAX} index values`)
  }
  return given.map((values: unknown) => parseIndexValues(dataset, values))
}

function parseValue(value: unknown): IndexValue {
  if (typeof value === 'string' && value.length <= VALUE_CHARS_MAX) return value
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return value
  throw wrong(`must have texts of at most ${VALUE_CHARS_MAX} characters, numbers or booleans as values`)
}

/** The dataset's query over a part of its timeframe. Throws InvalidTimeframeError unless that begins and ends where intervals do. */
export function partOf(dataset: Dataset, values: IndexValues, fields: Fields, nowMs: number): Asked['query'] {
  const query = queryFor(dataset, values)
  const whole = resolveTimeframe(query.timeframe, query.zone, nowMs)
  const { startMs, endMs } = resolveTimeframe(parseTimeframe(fields['timeframe']), query.zone, nowMs)
  if (startMs < whole.startMs || endMs > whole.endMs) {
    throw new AppError('InvalidTimeframeError', "timeframe must lie inside the dataset's own.")
  }
  const edges = new Set(bucketEdges(whole, query.interval))
  if (!edges.has(startMs) || !edges.has(endMs)) {
    throw new AppError('InvalidTimeframeError', "timeframe must begin and end where the dataset's intervals do.")
  }
  const zeroFill = fields['zero_fill'] ?? true
  if (typeof zeroFill !== 'boolean') {
    throw new AppError('InvalidRequestFieldError', 'zero_fill must be true or false.')
  }
  return { ...query, zeroFill, timeframe: { kind: 'fixed', startMs, endMs, zone: query.zone } }
}

export const byProperty = ({ indexBy }: Dataset, values: IndexValues): Readonly<Record<string, IndexValue>> =>
  Object.fromEntries(values.map((value, i) => [indexBy[i] ?? '', value]))

const wrong = (problem: string): AppError => new AppError('InvalidRequestFieldError', `index_by ${problem}.`)

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { AppError } from '../../services/shared/errors.ts'
import { compileQuery } from '../../services/query/language/compile.ts'
import { decodeParameters } from '../../services/query/language/parameters.ts'
import { ANALYSES, parseQuery } from '../../services/query/language/parse.ts'
import { grantFor } from './stored-events.ts'

const NOW = Date.UTC(2026, 0, 10)
const common = { event_collection: 'c', timeframe: 'today', target_property: 'n', percentile: 50 }

test.each([
  ['event_collection', { event_collection: 5 }, 'InvalidRequestFieldError'],
  ['target_property', { target_property: {} }, 'InvalidPropertyNameError'],
  ['percentile', { percentile: 50.001 }, 'InvalidPercentileError'],
  ['percentile', { percentile: 100.01 }, 'InvalidPercentileError'],
  ['percentile', { percentile: '50' }, 'InvalidPercentileError'],
  ['percentile', { percentile: null }, 'MissingRequiredRequestFieldError'],
  ['group_by', { group_by: 5 }, 'InvalidGroupByError'],
  ['group_by', { group_by: Array.from({ length: 11 }, (_, i) => `p${i}`) }, 'InvalidGroupByError'],
  ['group_by', { group_by: { property_name: 'a', buckets: { size: 0 } } }, 'InvalidGroupByError'],
  ['group_by', { group_by: { property_name: 'a', ranges: [] } }, 'InvalidGroupByError'],
  ['group_by', { group_by: ['a', { property_name: 'a', buckets: { size: 1 } }] }, 'InvalidGroupByError'],
  ['order_by', { order_by: 'result' }, 'InvalidOrderByError'],
  ['order_by', { group_by: 'a', order_by: 'b' }, 'InvalidOrderByError'],
  ['order_by', { group_by: 'a', order_by: { property_name: 'a', direction: 'UP' } }, 'InvalidOrderByError'],
  ['limit', { group_by: 'a', limit: 5 }, 'InvalidRequestFieldError'],
  ['limit', { group_by: 'a', order_by: 'a', limit: 0 }, 'InvalidRequestFieldError'],
  ['zero_fill', { zero_fill: 'yes' }, 'InvalidRequestFieldError'],
  ['interval', { interval: 'secondly' }, 'InvalidIntervalError'],
  [
    'within',
    {
      group_by: 'a',
      filters: [
        {
          operator: 'or',
          operands: [
            {
              operator: 'within',
              property_name: 'keen.location.coordinates',
              property_value: { coordinates: [1, 1], max_distance_miles: 1 },
            },
          ],
        },
      ],
    },
    'InvalidFilterError',
  ],
])('a bad %s is named: %j', (field, fields, code) => {
  const parse = () => parseQuery('percentile', { ...common, ...fields })
  expect(parse).toThrow(expect.objectContaining({ code }))
  expect(parse).toThrow(field)
})

test.each([
  [{ latest: 0 }, 'InvalidRequestFieldError'],
  [{ latest: 1.5 }, 'InvalidRequestFieldError'],
  [{ property_names: [5] }, 'InvalidPropertyNameError'],
])('a bad extraction is named: %j', (fields, code) => {
  expect(() => parseQuery('extraction', { ...common, ...fields })).toThrow(expect.objectContaining({ code }))
})

const FIELDS = [
  'timeframe',
  'timezone',
  'interval',
  'filters',
  'group_by',
  'order_by',
  'limit',
  'percentile',
  'target_property',
  'latest',
  'property_names',
  'zero_fill',
  'include_metadata',
  'event_collection',
] as const

const isCallersFault = (ask: () => unknown): void => {
  try {
    ask()
  } catch (error) {
    expect(error).toBeInstanceOf(AppError)
    expect((error as AppError).policy.status).toBe(400)
  }
}

test('any JSON in any field compiles or is refused as the caller’s fault', () => {
  const grant = grantFor('a'.repeat(24))
  const spoiled = fc.record(Object.fromEntries(FIELDS.map((field) => [field, fc.jsonValue()])), { requiredKeys: [] })
  fc.assert(
    fc.property(fc.constantFrom(...ANALYSES), spoiled, (analysis, fields) => {
      isCallersFault(() => compileQuery(parseQuery(analysis, { ...common, ...fields }), grant, NOW))
    }),
    { numRuns: 1_000 },
  )
})

test('any text in any parameter of a URL is read or refused as the caller’s fault', () => {
  const name = fc.constantFrom(...FIELDS, 'timeframe[start]', '__proto__', 'constructor')
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.constantFrom('null', '"', '{', '1e999', '-0', 'true'),
  )
  fc.assert(
    fc.property(fc.constantFrom(...ANALYSES), fc.array(fc.tuple(name, value)), (analysis, pairs) => {
      isCallersFault(() => parseQuery(analysis, { ...common, ...decodeParameters(new URLSearchParams(pairs)) }))
    }),
    { numRuns: 1_000 },
  )
})

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '../../../services/shared/errors.ts'
import { parseDateTime } from '../../../services/shared/filters/datetime.ts'
import { walkFilters } from '../../../services/shared/filters/filter.ts'
import { parseFilters } from '../../../services/shared/filters/parse.ts'

const property = { kind: 'property', name: 'a.b', segments: ['a', 'b'] }
const one = (operator: string, property_value: unknown, property_name = 'a.b') =>
  parseFilters([{ operator, property_name, property_value }])[0]

test('null and undefined are no filters', () => {
  expect([parseFilters(null), parseFilters(undefined), parseFilters([])]).toEqual([[], [], []])
})

test('ne and not_contains are the complements of eq and contains, and null is what is missing', () => {
  expect(one('ne', 5)).toEqual({ kind: 'not', filter: { kind: 'equals', property, value: 5 } })
  expect(one('not_contains', 'x')).toEqual({ kind: 'not', filter: { kind: 'contains', property, value: 'x' } })
  expect(one('eq', null)).toEqual({ kind: 'not', filter: { kind: 'exists', property } })
  expect(one('ne', null)).toEqual({ kind: 'not', filter: one('eq', null) })
})

test('an or takes its filters under operands or property_value, with groups inside', () => {
  const leaf = { operator: 'exists', property_name: 'a.b', property_value: true }
  const inner = { operator: 'and', operands: [leaf] }
  const parsed = {
    kind: 'or',
    filters: [
      { kind: 'exists', property },
      { kind: 'and', filters: [{ kind: 'exists', property }] },
    ],
  }
  expect(parseFilters([{ operator: 'or', operands: [leaf, inner] }])).toEqual([parsed])
  expect(parseFilters([{ operator: 'or', property_value: [leaf, inner] }])).toEqual([parsed])
})

test('what stands against a moment becomes a moment in UTC', () => {
  expect(one('gte', '2026-01-01T01:00:00+01:00', 'keen.timestamp')).toMatchObject({ value: '2026-01-01T00:00:00.000Z' })
  expect(one('in', ['2026-01-01'], 'keen.created_at')).toMatchObject({ values: ['2026-01-01T00:00:00.000Z'] })
})

test('a distance may be a number or its text', () => {
  for (const max_distance_miles of [10, '10']) {
    const value = { coordinates: [2, 48], max_distance_miles }
    expect(one('within', value, 'keen.location.coordinates')).toMatchObject({
      longitude: 2,
      latitude: 48,
      radiusMiles: 10,
    })
  }
})

describe('refused', () => {
  test.each([
    ['not a list', {}],
    ['a filter that is no object', ['x']],
    ['no operator', [{ property_name: 'a', property_value: 1 }]],
    ['an unknown operator', [{ operator: 'like', property_name: 'a', property_value: 1 }]],
    [
      'an operator of the language it is written in',
      [{ operator: 'constructor', property_name: 'a', property_value: 1 }],
    ],
    ['no name', [{ operator: 'eq', property_value: 1 }]],
    ['an empty name', [{ operator: 'eq', property_name: '', property_value: 1 }]],
    ['no value', [{ operator: 'eq', property_name: 'a' }]],
    ['an object as value', [{ operator: 'eq', property_name: 'a', property_value: {} }]],
    ['a truth that has an order', [{ operator: 'lt', property_name: 'a', property_value: true }]],
    ['null in order', [{ operator: 'gte', property_name: 'a', property_value: null }]],
    ['exists without yes or no', [{ operator: 'exists', property_name: 'a', property_value: 'true' }]],
    ['in without a list', [{ operator: 'in', property_name: 'a', property_value: 'x' }]],
    ['contains a number', [{ operator: 'contains', property_name: 'a', property_value: 1 }]],
    ['an empty or', [{ operator: 'or', operands: [] }]],
    ['a moment that is none', [{ operator: 'gt', property_name: 'keen.timestamp', property_value: 'yesterday' }]],
    ['a number that stands for several', [{ operator: 'eq', property_name: 'a', property_value: 2 ** 53 }]],
    ['a pattern of 1,001 characters', [{ operator: 'regex', property_name: 'a', property_value: 'x'.repeat(1_001) }]],
    ['101 filters', Array.from({ length: 101 }, () => ({ operator: 'eq', property_name: 'a', property_value: 1 }))],
    ['2,001 values', [{ operator: 'in', property_name: 'a', property_value: Array.from({ length: 2_001 }, () => 1) }]],
    ['50,001 characters', [{ operator: 'eq', property_name: 'a', property_value: 'x'.repeat(50_001) }]],
    ['a name of 2,049 characters', [{ operator: 'eq', property_name: 'x'.repeat(2_049), property_value: 1 }]],
    [
      'coordinates that are none',
      [
        {
          operator: 'within',
          property_name: 'keen.location.coordinates',
          property_value: { coordinates: [200, 0], max_distance_miles: 1 },
        },
      ],
    ],
    [
      'a distance that is none',
      [
        {
          operator: 'within',
          property_name: 'keen.location.coordinates',
          property_value: { coordinates: [2, 0], max_distance_miles: '' },
        },
      ],
    ],
  ])('%s', (_, filters) => {
    expect(() => parseFilters(filters)).toThrow(expect.objectContaining({ code: 'InvalidFilterError' }))
  })

  test('groups nested more than ten deep', () => {
    let filter: unknown = { operator: 'exists', property_name: 'a', property_value: true }
    for (let depth = 0; depth < 9; depth++) filter = { operator: 'or', operands: [filter] }
    expect([...walkFilters(parseFilters([filter]))]).toHaveLength(10)
    for (let depth = 0; depth < 3; depth++) filter = { operator: 'or', operands: [filter] }
    expect(() => parseFilters([filter])).toThrow(AppError)
  })

  test('a place anywhere but where places are kept, by the name that SDKs know', () => {
    const value = { coordinates: [2, 48], max_distance_miles: 1 }
    expect(() => one('within', value, 'home')).toThrow(
      expect.objectContaining({ code: 'InvalidPropertyNameForGeoFilter' }),
    )
  })
})

test('any JSON is parsed or refused as a caller’s fault', () => {
  const operator = fc.constantFrom('eq', 'in', 'or', 'within', 'regex', 'lt', 'exists', 'contains', 'x')
  const filter = fc.record(
    { operator, property_name: fc.jsonValue(), property_value: fc.jsonValue(), operands: fc.jsonValue() },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.array(filter)), (filters) => {
      try {
        parseFilters(filters)
      } catch (error) {
        expect(error).toBeInstanceOf(AppError)
        expect((error as AppError).policy.status).toBe(400)
      }
    }),
  )
})

test.each([
  ['2026-01-02', '2026-01-02T00:00:00.000Z', 0],
  ['2026-01-02T03:04Z', '2026-01-02T03:04:00.000Z', 0],
  ['2026-01-02T03:04:05.6789', '2026-01-02T03:04:05.678Z', 0],
  ['2026-01-02T03:04:05-0800', '2026-01-02T11:04:05.000Z', -480],
  ['2026-01-02T03:04:05 05:30', '2026-01-01T21:34:05.000Z', 330],
  ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z', 0],
])('%s is the moment %s', (text, iso, offsetMinutes) => {
  expect(parseDateTime(text)).toEqual({ epochMs: Date.parse(iso), offsetMinutes })
})

test.each([
  '',
  '2026',
  '2026-13-01',
  '2026-02-29',
  '2026-01-01T24:00',
  '2026-01-01T00:60',
  '2026-01-01T00:00+24:00',
  'now',
])('%j is no moment', (text) => {
  expect(parseDateTime(text)).toBeUndefined()
})

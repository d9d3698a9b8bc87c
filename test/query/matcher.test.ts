import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compileMatcher, parseForMatching } from '../../services/shared/filters/evaluate.ts'
import { parseFilters } from '../../services/shared/filters/parse.ts'
import { ask } from './ask.ts'
import { bodyArbitrary, filtersArbitrary, momentArbitrary, START_MS } from './generated.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

/** Filters have two readings: SQL over stored rows, and a function over an event on its way. They must be one. */

const CASES = Number(process.env['TRIBUTARY_TEST_CASES'] ?? 400)
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? Date.now() % 2 ** 31)
const PROJECT = 'b'.repeat(24)
const EVER = { start: '1990-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' }
const uuidOf = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

const LARGE = [
  '{"n":9007199254740993}',
  '{"n":9007199254740992}',
  '{"n":-9223372036854775808}',
  '{"n":[9007199254740993,1]}',
  '{"n":9.007199254740992e15}',
]

/** Places all over the earth, and around Berlin, where the circles of the tests have their edges. */
/** Degrees whose squares are too small for a double are beyond what any computation of distances promises. */
const degrees = (min: number, max: number) =>
  fc.double({ min, max, noNaN: true }).map((value) => (Math.abs(value) < 1e-9 ? 0 : value))
const place = fc.oneof(
  fc.tuple(degrees(-180, 180), degrees(-90, 90)),
  fc.tuple(fc.double({ min: 10, max: 16, noNaN: true }), fc.double({ min: 50, max: 55, noNaN: true })),
  fc.tuple(fc.integer({ min: -180, max: 180 }), fc.integer({ min: -90, max: 90 })),
)

const TEXTS = [
  'q\ny',
  'xay',
  'x\ny',
  'Straße',
  'STRASSE',
  '१२',
  'a_b-c',
  'word word',
  '\u{10ffff}',
  '\ue000',
  '\u{1d11e}',
]

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let events: { readonly id: string; readonly timestampMs: number; readonly createdAtMs: number; readonly body: string }[]

beforeAll(async () => {
  opened = await openTestWarehouse()
  const drawn = fc.sample(fc.record({ body: bodyArbitrary, timestampMs: momentArbitrary }), {
    numRuns: 300,
    seed: SEED,
  })
  const places = fc.sample(place, { numRuns: 150, seed: SEED })
  const bodies = [
    ...drawn.map(({ body }) => JSON.stringify(body)),
    ...LARGE,
    ...places.map((coordinates) => JSON.stringify({ keen: { location: { coordinates } } })),
    ...TEXTS.map((s) => JSON.stringify({ s })),
  ]
  events = bodies.map((body, i) => {
    const timestampMs = drawn[i]?.timestampMs ?? START_MS
    return { id: hexId(i), timestampMs, createdAtMs: timestampMs + 1_500, body }
  })
  await store(
    opened.warehouse,
    events.map((event) => ({ ...event, project: PROJECT, collection: 'things' })),
  )
})
afterAll(async () => {
  await opened.close()
})

async function bySql(filters: readonly unknown[]): Promise<readonly string[]> {
  const fields = { event_collection: 'things', timeframe: EVER, filters, target_property: 'keen.id' }
  const ids = await ask(opened.warehouse, grantFor(PROJECT), 'select_unique', fields, START_MS)
  return (ids as string[]).toSorted()
}

function byFunction(filters: readonly unknown[]): readonly string[] {
  const isMatch = compileMatcher(parseFilters(filters))
  return events
    .map(({ body, id, ...event }) => ({ ...event, id: uuidOf(id), properties: parseForMatching(body) }))
    .filter(isMatch)
    .map(({ id }) => id)
    .toSorted()
}

test(
  'a filter lets the same events pass in the warehouse and on their way there',
  async () => {
    let some = 0
    await fc.assert(
      fc.asyncProperty(filtersArbitrary, async (filters) => {
        const found = byFunction(filters)
        if (found.length > 0 && found.length < events.length) some++
        expect(found).toEqual(await bySql(filters))
      }),
      { numRuns: CASES, seed: SEED },
    )
    // Filters that let all or nothing pass prove little.
    expect(some).toBeGreaterThan(CASES / 3)
  },
  60_000 + CASES * 200,
)

test(
  'a circle on the earth has the same events inside in the warehouse and on their way there',
  async () => {
    let some = 0
    const circle = fc.record({
      coordinates: place,
      max_distance_miles: fc.oneof(fc.integer({ min: 0, max: 12_500 }), fc.double({ min: 0, max: 300, noNaN: true })),
    })
    await fc.assert(
      fc.asyncProperty(circle, async (property_value) => {
        const filters = [{ property_name: 'keen.location.coordinates', operator: 'within', property_value }]
        const found = byFunction(filters)
        if (found.length > 0) some++
        expect(found).toEqual(await bySql(filters))
      }),
      { numRuns: Math.ceil(CASES / 4), seed: SEED },
    )
    expect(some).toBeGreaterThan(CASES / 16)
  },
  60_000 + CASES * 200,
)

test.each([
  { property_name: 's', operator: 'regex', property_value: '(?i)strasse' },
  { property_name: 's', operator: 'regex', property_value: '\\d' },
  { property_name: 's', operator: 'regex', property_value: '\\pN' },
  { property_name: 's', operator: 'regex', property_value: '\\bword$' },
  { property_name: 's', operator: 'regex', property_value: '^.$' },
  { property_name: 's', operator: 'regex', property_value: '[[:alpha:]]_(?P<n>[^x])' },
  { property_name: 's', operator: 'regex', property_value: '\\Qa_b\\E' },
  { property_name: 's', operator: 'gt', property_value: '\u{1d11e}' },
  { property_name: 'n', operator: 'eq', property_value: 9_007_199_254_740_991 },
  { property_name: 'n', operator: 'gt', property_value: 9_007_199_254_740_991 },
  { property_name: 'n', operator: 'gt', property_value: 9_007_199_254_740_992 },
  { property_name: 'n', operator: 'lt', property_value: -9e18 },
  { property_name: 's', operator: 'regex', property_value: 'x.y' },
  { property_name: 's', operator: 'regex', property_value: '^(?i)X$' },
  { property_name: 's', operator: 'gt', property_value: '\u{ff5e}' },
  { property_name: 'keen.timestamp', operator: 'gte', property_value: '2026-01-10T00:00:00Z' },
  { property_name: 'keen.created_at', operator: 'lt', property_value: '2026-01-10' },
])(
  'large numbers, patterns, and texts beyond the first plane: $property_name $operator $property_value',
  async (filter) => {
    expect(byFunction([filter])).toEqual(await bySql([filter]))
  },
)

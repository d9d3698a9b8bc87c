import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ask } from './ask.ts'
import { bodyArbitrary, filtersArbitrary, momentArbitrary, queryArbitrary, START_MS } from './generated.ts'
import { type ModelEvent, modelFunnel, modelResult, passes } from './model.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

const CASES = Number(process.env['TRIBUTARY_TEST_CASES'] ?? 2_000)
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? Date.now() % 2 ** 31)
const DATASETS = 60
const TIMEOUT_MS = 60_000 + CASES * 200

const projectOf = (dataset: number): string => dataset.toString(16).padStart(24, 'a')

/** Paths that take all of the JSON column's own places in a part, so that those of the events after them are kept in its shared data. */
const filler = JSON.stringify(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`filler${i}`, i])))

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
const datasets: ModelEvent[][] = []

const uuidOf = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

beforeAll(async () => {
  opened = await openTestWarehouse()
  const drawn = fc.sample(
    // In small ones a property often has one type alone, in large ones hardly any.
    fc
      .constantFrom(3, 60, 60)
      .chain((maxLength) =>
        fc.array(fc.record({ body: bodyArbitrary, timestampMs: momentArbitrary }), { maxLength, size: 'max' }),
      ),
    { numRuns: DATASETS, seed: SEED },
  )
  let count = 0
  const stored = drawn.map((events, dataset) =>
    events.map(({ body, timestampMs }) => ({
      project: projectOf(dataset),
      collection: 'things',
      timestampMs,
      createdAtMs: timestampMs + 1_500,
      id: hexId(count++),
      body: JSON.stringify(body),
    })),
  )
  for (const events of stored) {
    datasets.push(
      events.map((event) => ({
        timestampMs: event.timestampMs,
        createdAtMs: event.createdAtMs,
        id: uuidOf(event.id),
        body: JSON.parse(event.body) as ModelEvent['body'],
      })),
    )
  }
  const elsewhere = { collection: 'filler', timestampMs: START_MS, createdAtMs: START_MS, body: filler }
  await store(opened.warehouse, stored.filter((_, i) => i % 2 === 0).flat())
  await store(opened.warehouse, [
    { ...elsewhere, project: '0'.repeat(24), id: hexId(count++) },
    ...stored.filter((_, i) => i % 2 === 1).flat(),
  ])
})

afterAll(async () => {
  await opened.close()
})

/** Equal but for the last digits of what was summed in another order. */
function closeTo(actual: unknown, expected: unknown): boolean {
  if (typeof actual === 'number' && typeof expected === 'number') {
    return Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(actual), Math.abs(expected))
  }
  if (Array.isArray(actual) && Array.isArray(expected)) {
    return actual.length === expected.length && actual.every((item, i) => closeTo(item, expected[i]))
  }
  if (typeof actual === 'object' && typeof expected === 'object' && actual !== null && expected !== null) {
    const names = Object.keys(actual)
    return (
      names.length === Object.keys(expected).length &&
      names.every(
        (name) => Object.hasOwn(expected, name) && closeTo(Reflect.get(actual, name), Reflect.get(expected, name)),
      )
    )
  }
  return actual === expected
}

const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** The echo of the request has tests of its own. */
function withoutSteps(answer: unknown): unknown {
  const { steps: _steps, ...rest } = answer as Readonly<Record<string, unknown>>
  return rest
}

async function agree(
  dataset: number,
  query: typeof queryArbitrary extends fc.Arbitrary<infer Q> ? Q : never,
  isTyped: boolean,
  keyFilters?: Parameters<typeof passes>[1][],
) {
  const fields = { event_collection: 'things', ...query.fields }
  const grant = grantFor(projectOf(dataset), keyFilters)
  const answer = asJson(await ask(opened.warehouse, grant, query.analysis, fields, START_MS, { isTyped }))
  const actual = query.analysis === 'funnel' ? withoutSteps(answer) : answer
  const visible = (datasets[dataset] ?? []).filter((event) =>
    (keyFilters ?? []).every((filter) => passes(event, filter)),
  )
  const expected = asJson(
    query.analysis === 'funnel'
      ? modelFunnel(query.fields, visible)
      : modelResult(query.analysis, query.fields, visible),
  )
  if (!closeTo(actual, expected)) expect(actual).toEqual(expected)
  return visible.length
}

const datasetArbitrary = fc.nat(DATASETS - 1)
const runs = (numRuns: number) => ({ numRuns, seed: SEED, maxSkipsPerRun: 1 })

test(
  'every query gives what the plainest reading of it over the events gives',
  async () => {
    await fc.assert(
      fc.asyncProperty(datasetArbitrary, queryArbitrary, fc.boolean(), async (dataset, query, isTyped) => {
        await agree(dataset, query, isTyped)
      }),
      runs(Math.ceil(CASES / 3)),
    )
  },
  TIMEOUT_MS,
)

test(
  'under an access key every query gives what it gives without one over the events that pass the key’s filters',
  async () => {
    let narrowed = 0
    await fc.assert(
      fc.asyncProperty(
        datasetArbitrary,
        queryArbitrary,
        fc.boolean(),
        filtersArbitrary,
        async (dataset, query, isTyped, keyFilters) => {
          const visible = await agree(dataset, query, isTyped, keyFilters)
          if (visible > 0 && visible < (datasets[dataset]?.length ?? 0)) narrowed++
        },
      ),
      runs(Math.ceil((2 * CASES) / 3)),
    )
    // A key that shows all or nothing proves little.
    expect(narrowed).toBeGreaterThan(CASES / 20)
  },
  TIMEOUT_MS,
)

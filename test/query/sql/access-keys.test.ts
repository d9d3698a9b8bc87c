import * as fc from 'fast-check'
import { text as textOf } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compileMatcher, parseForMatching } from '../../../services/shared/filters/evaluate.ts'
import { AppError } from '../../../services/shared/errors.ts'
import type { Grant } from '../../../services/shared/registry/grant.ts'
import { beginSql } from '../../../services/query/sql/begin.ts'
import { bodyArbitrary, filtersArbitrary, momentArbitrary } from '../generated.ts'
import { grantFor, hexId, never, openTestWarehouse, store, type StoredEvent, WIDE_LIMITS } from '../stored-events.ts'
import { sqlArbitrary } from './generated-sql.ts'

const CASES = Number(process.env['TRIBUTARY_TEST_CASES'] ?? 400)
const SEED = Number(process.env['TRIBUTARY_TEST_SEED'] ?? Date.now() % 2 ** 31)
const DATASETS = 24

interface Dataset {
  /** Everything is there, and the key sees some of it. */
  readonly restricted: Grant
  /** There is only what that key sees, and this one sees all of it. */
  readonly alone: Grant
}

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
const datasets: Dataset[] = []
/** Passed by every event: so that types are read from the rows for both. */
const EVERYTHING = [{ property_name: 'k', operator: 'exists', property_value: true }]

let hidden = 0
let granted = 0

const uuidOf = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

beforeAll(async () => {
  opened = await openTestWarehouse()
  const drawn = fc.sample(
    fc.record({
      filters: fc.oneof(
        filtersArbitrary,
        fc
          .subarray([0, 1, 2, 3, 4], { minLength: 2, maxLength: 3 })
          .map((list) => [{ property_name: 'k', operator: 'in', property_value: list }]),
      ),
      events: fc.array(
        fc.record({
          body: bodyArbitrary,
          timestampMs: momentArbitrary,
          collection: fc.constantFrom('things', 'others'),
          k: fc.integer({ min: 0, max: 4 }),
        }),
        { minLength: 10, maxLength: 50, size: 'max' },
      ),
    }),
    { numRuns: DATASETS, seed: SEED },
  )
  let count = 0
  const stored: StoredEvent[] = []
  drawn.forEach(({ filters, events }, i) => {
    const [project, copy] = [i.toString(16).padStart(24, 'a'), i.toString(16).padStart(24, 'b')]
    const restricted = grantFor(project, filters)
    const sees = compileMatcher(restricted.rowFilters)
    for (const { body, timestampMs, collection, k } of events) {
      const id = hexId(count++)
      const text = JSON.stringify({ ...body, k, row: `row-${count % 37}` })
      const event: StoredEvent = { project, collection, timestampMs, createdAtMs: timestampMs + 1_500, id, body: text }
      stored.push(event)
      const { createdAtMs } = event
      if (!sees({ timestampMs, createdAtMs, id: uuidOf(id), properties: parseForMatching(text) })) hidden++
      else {
        granted++
        stored.push({ ...event, project: copy })
      }
    }
    datasets.push({ restricted, alone: grantFor(copy, EVERYTHING) })
  })
  await store(opened.warehouse, stored)
})
afterAll(async () => opened.close())

/** Rows in an order of their own, or the code of the refusal. */
async function answer(sql: string, grant: Grant): Promise<readonly string[] | string> {
  const deps = { warehouse: opened.warehouse, requireCollection: async () => undefined }
  const request = { text: sql, parameters: new Map(), format: 'ndjson', rowsMax: null, includeMetadata: false } as const
  try {
    const { source, columns } = await beginSql(deps, request, grant, WIDE_LIMITS, never)
    const lines = (await textOf(source)).split('\n').filter((line) => line !== '')
    return [JSON.stringify(columns), ...lines.toSorted()]
  } catch (error) {
    if (error instanceof AppError && error.code === 'InvalidSqlError') return error.message
    throw error
  }
}

test(`an access key sees in SQL what it would see if nothing else were there (${CASES} cases, seed ${SEED})`, {
  timeout: 60_000 + CASES * 1_000,
}, async () => {
  expect(hidden).toBeGreaterThan(50)
  expect(granted).toBeGreaterThan(50)
  const counts = { answered: 0, withRows: 0, refused: 0 }
  const refusals = new Map<string, string>()
  await fc.assert(
    fc.asyncProperty(sqlArbitrary, fc.nat(DATASETS - 1), async (sql, i) => {
      const dataset = datasets[i]
      if (dataset === undefined) throw new Error('no dataset')
      const [seen, wanted] = await Promise.all([answer(sql, dataset.restricted), answer(sql, dataset.alone)])
      expect(seen, sql).toEqual(wanted)
      if (typeof seen === 'string') {
        counts.refused++
        refusals.set(seen.replaceAll(/\d+/g, 'N'), sql)
      } else {
        counts.answered++
        if (seen.length > 1) counts.withRows++
      }
    }),
    { numRuns: CASES, seed: SEED },
  )
  if (process.env['TRIBUTARY_TEST_SHOW'] === '1')
    process.stdout.write(`${JSON.stringify([counts, ...refusals], null, 1)}\n`)
  expect(counts.withRows).toBeGreaterThan(CASES / 4)
  expect(counts.refused).toBeLessThan(CASES / 5)
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import { grantFor, hexId, openTestWarehouse, store } from '../stored-events.ts'
import { sqlOf } from './ask-sql.ts'

const PROJECT = 'c'.repeat(24)
const ONLY_ANN = [{ property_name: 'who', operator: 'eq', property_value: 'ann' }]

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
beforeAll(async () => {
  opened = await openTestWarehouse()
  const rows = Array.from({ length: 4_000 }, (_, i) => ({
    project: i % 2 === 0 ? PROJECT : 'd'.repeat(24),
    collection: 'c',
    timestampMs: Date.UTC(2026, 0, 1) + i,
    createdAtMs: 0,
    id: hexId(i),
    body: JSON.stringify({ who: i % 2 === 1 ? 'elsewhere' : i % 4 === 0 ? 'ann' : 'bob', n: i }),
  }))
  await store(opened.warehouse, rows)
})
afterAll(async () => {
  await opened.close()
})

const moment = 'toUnixTimestamp64Milli(assumeNotNull(c.keen.timestamp))'
/** Fails on the one row of this moment: of `bob` in the project, or of another project. */
const failsAt = (ms: number): string => `modulo(1, ${moment} - ${Date.UTC(2026, 0, 1) + ms}) < 9`

/** A condition that fails on a row that the key does not see would tell that the row is there. */
test.each(
  [1, 2].flatMap((ms) => [
    `SELECT count() FROM c WHERE ${failsAt(ms)}`,
    `SELECT c.n FROM c WHERE ${failsAt(ms)} ORDER BY c.n LIMIT 5`,
    `SELECT count() FROM c JOIN c AS u ON c.n = u.n WHERE ${failsAt(ms)}`,
    `SELECT count() FROM c JOIN c AS u ON c.n = u.n AND ${failsAt(ms)}`,
    `SELECT d.n FROM (SELECT c.n AS n FROM c WHERE ${failsAt(ms)}) AS d LIMIT 5`,
    `SELECT count() FROM c WHERE c.n IN (SELECT c.n FROM c WHERE ${failsAt(ms)})`,
    `SELECT countIf(${failsAt(ms)}) FROM c`,
  ]),
)('nobody looks at rows behind the key: %s', async (query) => {
  const rows = await sqlOf(opened.warehouse)(grantFor(PROJECT, ONLY_ANN), query)
  expect(rows.length).toBeGreaterThan(0)
})

test('the same condition fails on a row that the key sees', async () => {
  const asked = sqlOf(opened.warehouse)(grantFor(PROJECT, ONLY_ANN), `SELECT count() FROM c WHERE ${failsAt(4)}`)
  await expect(asked).rejects.toMatchObject({ code: 'InvalidSqlError' })
})

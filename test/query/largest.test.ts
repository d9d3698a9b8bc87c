import { afterAll, beforeAll, expect, test } from 'vitest'
import { ask } from './ask.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

const PROJECT = 'f'.repeat(24)
let opened: Awaited<ReturnType<typeof openTestWarehouse>>

beforeAll(async () => {
  opened = await openTestWarehouse()
  const event = { project: PROJECT, collection: 'c', timestampMs: 0, createdAtMs: 0, id: hexId(1), body: '{"a":1}' }
  await store(opened.warehouse, [event])
})
afterAll(async () => {
  await opened.close()
})

const query = { event_collection: 'c', timeframe: { start: '1970-01-01', end: '1970-01-02' } }
const missing = (i: number, length: number) => `^${String(i).padStart(length, 'x')}`

test('the largest query and key that are not refused are small enough for the warehouse', async () => {
  const filters = Array.from({ length: 100 }, (_, i) => ({
    property_name: missing(i, 400),
  })).map(({ property_name }) => ({ property_name, operator: 'ne', property_value: 'x'.repeat(90) }))
  const group_by = Array.from({ length: 10 }, (_, i) => missing(i, 2_000))
  const result = await ask(opened.warehouse, grantFor(PROJECT, filters), 'count', { ...query, filters, group_by }, 0)
  expect(result).toEqual([{ ...Object.fromEntries(group_by.map((name) => [name, null])), result: 1 }])
})

test('a list of 2,000 values and 9,000 uneven buckets are parameters that the warehouse takes', async () => {
  const values = Array.from({ length: 2_000 }, (_, i) => i)
  const filters = [{ property_name: 'a', operator: 'in', property_value: values }]
  expect(await ask(opened.warehouse, grantFor(PROJECT), 'count', { ...query, filters }, 0)).toBe(1)
  const fields = { event_collection: 'c', timeframe: 'this_8990_days', timezone: 'Europe/Paris', interval: 'daily' }
  const result = (await ask(opened.warehouse, grantFor(PROJECT), 'count', fields, Date.UTC(1994, 0, 1))) as unknown[]
  expect(result).toHaveLength(8_990)
})

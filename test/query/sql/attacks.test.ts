import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildQueryApi } from '../api.ts'
import { grantFor, openTestWarehouse, store } from '../stored-events.ts'
import { EVENTS, KEY_FILTERS, PROJECT, SECRET } from './attack-data.ts'
import { attackSuite } from './attack-suite.ts'

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let api: ReturnType<typeof buildQueryApi>

beforeAll(async () => {
  opened = await openTestWarehouse()
  await store(opened.warehouse, EVENTS)
  const keys = { access: grantFor(PROJECT, KEY_FILTERS), master: grantFor(PROJECT) }
  api = buildQueryApi({ warehouse: opened.warehouse, keys, nowMs: Date.UTC(2026, 1, 1) })
})
afterAll(async () => {
  await api.app.close()
  await opened.close()
})

const ask = async (key: string, payload: object) =>
  api.app.inject({ method: 'POST', url: `/3.0/projects/${PROJECT}/queries/sql?api_key=${key}`, payload })

test('the rows that the attacks are after are there', async () => {
  const all = await ask('master', { query: 'SELECT name FROM purchases' })
  expect(all.body).toContain(SECRET)
  expect(all.json<{ result: unknown[] }>().result).toHaveLength(6)
})

attackSuite((body) => ask('access', body))

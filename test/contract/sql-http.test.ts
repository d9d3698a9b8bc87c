import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openHttpWarehouse } from '../../services/shared/warehouse/http.ts'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { buildQueryApi } from '../query/api.ts'
import { EVENTS, KEY_FILTERS, PROJECT, SECRET } from '../query/sql/attack-data.ts'
import { attackSuite } from '../query/sql/attack-suite.ts'
import { grantFor, never, store } from '../query/stored-events.ts'
import { type RunningFront, startFront } from '../support/start-clickhouse.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-sql-http-'))
let front: RunningFront
let warehouse: Warehouse
let api: ReturnType<typeof buildQueryApi>

// A server of its own: projects of these names are nobody else's.
beforeAll(async () => {
  front = await startFront({ folder })
  const timing = { connectionsMax: 10, idleSocketMs: 2_000, requestTimeoutMs: 120_000 }
  warehouse = openHttpWarehouse({
    url: new URL(front.url),
    username: 'default',
    password: '',
    database: 'default',
    ...timing,
  })
  await migrate(warehouse, { signal: never })
  await store(warehouse, EVENTS)
  const keys = { access: grantFor(PROJECT, KEY_FILTERS), master: grantFor(PROJECT) }
  api = buildQueryApi({ warehouse, keys, nowMs: Date.UTC(2026, 1, 1) })
})
afterAll(async () => {
  await api.app.close()
  await warehouse.close()
  await front.stop()
  rmSync(folder, { recursive: true, force: true })
})

const ask = async (key: string, payload: object) =>
  api.app.inject({ method: 'POST', url: `/3.0/projects/${PROJECT}/queries/sql?api_key=${key}`, payload })

test('the rows that the attacks are after are there, over HTTP', async () => {
  const all = await ask('master', { query: 'SELECT name FROM purchases' })
  expect(all.body).toContain(SECRET)
  expect(all.json<{ result: unknown[] }>().result).toHaveLength(6)
})

attackSuite((body) => ask('access', body))

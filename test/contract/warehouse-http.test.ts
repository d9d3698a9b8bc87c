import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openHttpWarehouse } from '../../services/shared/warehouse/http.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { RowBinaryWriter } from '../../services/shared/warehouse/row-binary.ts'
import { type ClickHouseForTests, startClickHouse, startFront } from '../support/start-clickhouse.ts'
import { WIDE, warehouseContract } from './warehouse.ts'
import { migrateContract } from './warehouse-migrate.ts'

let server: ClickHouseForTests
beforeAll(async () => {
  server = await startClickHouse()
})
afterAll(async () => {
  await server.stop()
})

function openAt(address: string): Warehouse {
  const url = new URL(address)
  const [username, password] = [decodeURIComponent(url.username) || 'default', decodeURIComponent(url.password)]
  url.username = ''
  url.password = ''
  const timing = { connectionsMax: 10, idleSocketMs: 2_000, requestTimeoutMs: 120_000 }
  return openHttpWarehouse({ url, username, password, database: 'default', ...timing })
}

warehouseContract('ClickHouse over HTTP', async () => openAt(server.url))

// Its own server: these tests drop the tables that others may be using.
const folder = mkdtempSync(join(tmpdir(), 'tributary-http-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

migrateContract('migrations over HTTP', async () => {
  const front = await startFront({ folder: join(folder, 'migrations') })
  const warehouse = openAt(front.url)
  return Object.assign(warehouse, {
    close: async () => {
      await front.stop()
    },
  })
})

test('a server that was killed is away until it is back, and remembers rows and tokens', async () => {
  const data = join(folder, 'killed')
  const first = await startFront({ folder: data })
  const warehouse = openAt(first.url)
  await warehouse.command(
    'CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100',
  )
  const insert = async (): Promise<void> => {
    const writer = new RowBinaryWriter(0)
    writer.string('row')
    const rows = { table: 't', columns: ['a'], rowBinary: writer.finish(), rowCount: 1, token: 'one' }
    await warehouse.insert({ ...rows, deadlineMs: performance.now() + 30_000, signal: new AbortController().signal })
  }
  const count = async () =>
    (
      await warehouse.read({
        sql: 'SELECT count() FROM t',
        params: {},
        limits: WIDE,
        queryId: randomUUID(),
        signal: new AbortController().signal,
      })
    ).rows
  await insert()
  await first.kill()
  await expect(insert()).rejects.toMatchObject({ code: 'WAREHOUSE_UNAVAILABLE' })
  await expect(count()).rejects.toMatchObject({ code: 'WAREHOUSE_UNAVAILABLE' })
  await expect(warehouse.ping()).rejects.toMatchObject({ code: 'WAREHOUSE_UNAVAILABLE' })
  const second = await startFront({ folder: data, port: first.port })
  await warehouse.ping()
  await insert()
  expect(await count()).toEqual([[1]])
  await warehouse.close()
  await second.stop()
})

test('a wrong password is an unavailable warehouse, and the password is in no message', async () => {
  const front = await startFront({ folder: join(folder, 'password'), password: 'right one' })
  const url = new URL(front.url)
  url.username = 'default'
  url.password = 'wrong one'
  const error: unknown = await openAt(url.href)
    .command('SELECT 1')
    .catch((caught: unknown) => caught)
  expect(error).toMatchObject({ code: 'WAREHOUSE_UNAVAILABLE', details: { clickhouseCode: 516 } })
  expect(JSON.stringify(error)).not.toMatch(/one/)
  url.password = 'right one'
  await openAt(url.href).ping()
  await front.stop()
})

test('a list of values longer than any URL arrives', async () => {
  const warehouse = openAt(server.url)
  const keys = Array.from({ length: 5_000 }, (_, n) => n.toString(16).padStart(32, '0'))
  const request = { limits: WIDE, queryId: randomUUID(), signal: new AbortController().signal }
  const { rows } = await warehouse.read({ ...request, sql: 'SELECT length({keys:Array(String)})', params: { keys } })
  expect(rows).toEqual([[5_000]])
  await warehouse.close()
})

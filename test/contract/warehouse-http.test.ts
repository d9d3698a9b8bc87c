import { afterAll, beforeAll } from 'vitest'
import { openHttpWarehouse } from '../../services/shared/warehouse/http.ts'
import { type ClickHouseForTests, startClickHouse } from '../support/start-clickhouse.ts'
import { warehouseContract } from './warehouse.ts'

let server: ClickHouseForTests
beforeAll(async () => {
  server = await startClickHouse()
})
afterAll(async () => {
  await server.stop()
})

warehouseContract('ClickHouse over HTTP', async () => {
  const url = new URL(server.url)
  const [username, password] = [decodeURIComponent(url.username) || 'default', decodeURIComponent(url.password)]
  url.username = ''
  url.password = ''
  const timing = { connectionsMax: 10, idleSocketMs: 2_000, requestTimeoutMs: 120_000 }
  return openHttpWarehouse({ url, username, password, database: 'default', ...timing })
})

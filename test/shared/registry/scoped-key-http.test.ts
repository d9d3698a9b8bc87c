import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Registry } from '../../../services/shared/registry/registry.ts'
import { buildQueryApi } from '../../query/api.ts'
import { hexId, openTestWarehouse, store } from '../../query/stored-events.ts'
import { DEPLOYMENT } from '../../support/api.ts'
import { type IngestUnderTest, openIngest } from '../../support/ingest-app.ts'
import { openTestRegistry } from '../../support/open-registry.ts'
import { scopedKey } from '../../support/scoped-key.ts'

const NOW = Date.UTC(2026, 0, 10, 12)
const FILTER = { property_name: 'customer.id', operator: 'eq', property_value: 'c1' }

let registry: Registry
let projectId: string
let ingest: IngestUnderTest
let warehouse: Awaited<ReturnType<typeof openTestWarehouse>>
let query: ReturnType<typeof buildQueryApi>
let make: (scope: unknown) => string

beforeAll(async () => {
  registry = (await openTestRegistry()).registry
  projectId = (await registry.createProject(DEPLOYMENT.organizationId, { name: 'p', users: [], preferences: {} })).id
  const master = registry.predefinedKeys(projectId).master?.secret ?? ''
  make = (scope) => scopedKey(master, scope)
  ingest = await openIngest({ authenticator: registry })
  warehouse = await openTestWarehouse()
  await store(
    warehouse.warehouse,
    ['c1', 'c1', 'c2'].map((id, i) => ({
      project: projectId,
      collection: 'orders',
      timestampMs: NOW - 1_000,
      createdAtMs: NOW,
      id: hexId(i),
      body: JSON.stringify({ customer: { id } }),
    })),
  )
  query = buildQueryApi({
    warehouse: warehouse.warehouse,
    authenticator: registry,
    definitions: registry.definitions,
    nowMs: NOW,
  })
})
afterAll(async () => {
  await ingest.close()
  await query.app.close()
  await warehouse.close()
  await registry.close()
})

const count = async (key: string) => {
  const url = `/3.0/projects/${projectId}/queries/count?event_collection=orders&timeframe=this_1_days`
  const answer = await query.app.inject({ url, headers: { authorization: key } })
  return [answer.statusCode, answer.json<{ result?: unknown; error_code?: string }>()] as const
}
const record = async (key: string, event: unknown) => {
  const url = `/3.0/projects/${projectId}/events/orders`
  const payload = JSON.stringify(event)
  const answer = await ingest.app.inject({ method: 'POST', url, payload, headers: { authorization: key } })
  return [answer.statusCode, answer.json<{ error_code?: string }>().error_code]
}

test('a query under a scoped key sees what its filters let through', async () => {
  expect(await count(make({ allowed_operations: ['read'], filters: [FILTER] }))).toMatchObject([200, { result: 2 }])
  expect(await count(make({ allowed_operations: ['read'] }))).toMatchObject([200, { result: 3 }])
  expect(await count(make({ filters: [FILTER] }).toUpperCase())).toMatchObject([200, { result: 2 }])
  const write = make({ allowed_operations: ['write'], filters: [FILTER] })
  expect(await count(write)).toMatchObject([403, { error_code: 'KeyNotAuthorizedError' }])
})

test('a scoped key that was made with something else is like no key at all', async () => {
  const unknown = await count('nonsense')
  expect(unknown[0]).toBe(401)
  const tampered = make({ filters: [FILTER] }).replace(/.$/, (last) => (last === '0' ? '1' : '0'))
  for (const key of [scopedKey('A'.repeat(64), { filters: [FILTER] }), tampered, 'ab'.repeat(4_000)]) {
    expect(await count(key)).toEqual(unknown)
    expect(await record(key, {})).toEqual([401, 'InvalidApiKeyError'])
  }
})

test('events written with a scoped key have the values of its filters, and may not say otherwise', async () => {
  const key = make({ allowed_operations: ['write'], filters: [FILTER] })
  expect(await record(key, { n: 1 })).toEqual([201, undefined])
  expect(await record(key, { n: 2, customer: { id: 'c1', name: 'Ada' } })).toEqual([201, undefined])
  expect(await record(key, { customer: { id: 'c2' } })).toEqual([400, 'InvalidPropertyValueError'])
  const addon = { name: 'keen:url_parser', input: { url: 'url' }, output: 'customer' }
  const geo = { name: 'keen:ip_to_geo', input: { ip: 'customer.id', remove_ip_property: true }, output: 'geo' }
  expect(await record(key, { url: 'https://a.example', keen: { addons: [addon, geo] } })).toEqual([201, undefined])
  const customers = (await ingest.taken()).map(({ body }) => body['customer'] as { id: string; name?: string })
  expect(customers.map(({ id }) => id)).toEqual(['c1', 'c1', 'c1'])
  expect(customers.filter(({ name }) => name === 'Ada')).toHaveLength(1)
  const read = make({ allowed_operations: ['read'], filters: [FILTER] })
  expect(await record(read, {})).toEqual([403, 'KeyNotAuthorizedError'])
})

test('what was asked to be deleted is not seen under a scoped key either', async () => {
  const key = make({ allowed_operations: ['read'], filters: [] })
  expect(await count(key)).toMatchObject([200, { result: 3 }])
  const url = `/3.0/projects/${projectId}/events/orders?filters=${encodeURIComponent(JSON.stringify([FILTER]))}`
  const master = registry.predefinedKeys(projectId).master?.secret ?? ''
  const deleted = await query.app.inject({ method: 'DELETE', url, headers: { authorization: master } })
  expect(deleted.statusCode).toBeLessThan(300)
  expect(await count(key)).toMatchObject([200, { result: 1 }])
})

import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { type Answer, call, createProject, DEPLOYMENT, type ProjectKeys } from '../support/api.ts'
import { type LiveServer, openLiveServer } from '../support/live-server.ts'
import { openTestWarehouse, hexId, store } from './stored-events.ts'
import { openTail } from './tail/reader.ts'

const NOW = Date.now()

let server: LiveServer
let opened: Awaited<ReturnType<typeof openTestWarehouse>>
/** While it is not null, reads of events wait for it. */
let held: Promise<void> | null = null
let holding = 0

beforeAll(async () => {
  opened = await openTestWarehouse()
  const warehouse = new Proxy(opened.warehouse, {
    get(target, name) {
      if (name === 'read') {
        const read: Warehouse['read'] = async (request) => {
          if (held !== null && request.sql.includes('FROM events')) {
            holding++
            await held
          }
          return target.read(request)
        }
        return read
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  server = await openLiveServer({ warehouse })
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await opened.close()
})

const projectOf = async (limits?: object): Promise<ProjectKeys> => {
  const project = await createProject(server.url, DEPLOYMENT, 'limited')
  await store(
    opened.warehouse,
    [1, 2, 3].map((n) => ({
      project: project.id,
      collection: 'c',
      timestampMs: NOW,
      createdAtMs: NOW,
      id: hexId(n),
      body: JSON.stringify({ n }),
    })),
  )
  if (limits !== undefined) expect((await change(project, { limits })).status).toBe(200)
  return project
}
const change = async (project: ProjectKeys, preferences: object): Promise<Answer> =>
  call('POST', `${server.url}/3.0/organizations/${DEPLOYMENT.organizationId}/projects/${project.id}`, {
    key: DEPLOYMENT.organizationKey,
    body: { preferences },
  })
const keyOf = async (project: ProjectKeys, limits: object): Promise<Answer> =>
  call('POST', `${server.url}/3.0/projects/${project.id}/keys`, {
    key: project.master,
    body: { name: 'k', is_active: true, permitted: ['queries', 'writes'], options: { limits } },
  })
const accessKey = async (project: ProjectKeys, limits: object): Promise<string> => {
  const { status, body } = await keyOf(project, limits)
  expect(status).toBe(201)
  expect(body).toMatchObject({ options: { limits } })
  return (body as { readonly key: string }).key
}
const count = async (project: ProjectKeys, key: string): Promise<Response> =>
  fetch(
    `${server.url}/3.0/projects/${project.id}/queries/count?event_collection=c&timeframe=this_2_days&api_key=${key}`,
  )
const record = async (project: ProjectKeys, key: string, events: number): Promise<Response> =>
  fetch(`${server.url}/3.0/projects/${project.id}/events`, {
    method: 'POST',
    headers: { authorization: key, 'content-type': 'application/json' },
    body: JSON.stringify({ c: Array.from({ length: events }, (_, n) => ({ n })) }),
  })
const expectLimited = async (answer: Response, name: string, limit: number): Promise<void> => {
  expect(answer.status).toBe(429)
  const code = name === 'concurrent_queries' ? 'QueryConcurrencyLimitError' : 'RateLimitExceededError'
  const body = (await answer.json()) as { readonly message: string }
  expect(body).toMatchObject({ error_code: code, limit_name: name, limit })
  expect(body.message).toContain(String(limit))
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(answer.headers.get('ratelimit-limit')).toBe(String(limit))
  expect(answer.headers.get('ratelimit-remaining')).toBe('0')
  expect(answer.headers.get('ratelimit-reset')).toBe(answer.headers.get('retry-after'))
  expect(answer.headers.get('access-control-expose-headers')).toContain('RateLimit-Limit')
}

test('a key that records too much is refused whole requests, and other keys are not', async () => {
  const project = await projectOf()
  const key = await accessKey(project, { events_per_second: 1 })
  const tail = await openTail({ url: server.url, project }, project.read)
  expect((await record(project, key, 5)).status).toBe(200)
  await expectLimited(await record(project, key, 3), 'events_per_second', 1)
  await expectLimited(await record(project, key, 300), 'events_per_second', 1)
  expect((await record(project, project.write, 5)).status).toBe(200)
  await tail.until(({ events }) => events.length >= 10, 'the events of the two good requests')
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(tail.events.length).toBe(10)
  tail.leave()
  expect(await server.metric('ingest_limited_total', { limit: 'events_per_second', kind: 'access' })).toBe(2)
})

test('a request larger than the bucket is taken when that is full, and owed for', async () => {
  const project = await projectOf()
  const key = await accessKey(project, { events_per_second: 2 })
  expect((await record(project, key, 25)).status).toBe(200)
  const refused = await record(project, key, 1)
  await expectLimited(refused.clone(), 'events_per_second', 2)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(7)
})

test('bytes are limited as well, and not used up by what the count of events refused', async () => {
  const project = await projectOf({ write: { bytes_per_second: 1_000, events_per_second: 1 } })
  expect((await record(project, project.write, 5)).status).toBe(200)
  for (let i = 0; i < 5; i++) await expectLimited(await record(project, project.write, 300), 'events_per_second', 1)
  const large = await projectOf({ write: { bytes_per_second: 100 } })
  expect((await record(large, large.write, 100)).status).toBe(200)
  await expectLimited(await record(large, large.write, 1), 'bytes_per_second', 100)
})

test('queries a minute: of the project for its kind of key, and of an access key where that is less', async () => {
  const project = await projectOf({ read: { queries_per_minute: 2 }, access: { queries_per_minute: 3 } })
  for (let i = 0; i < 2; i++) expect((await count(project, project.read)).status).toBe(200)
  await expectLimited(await count(project, project.read), 'queries_per_minute', 2)
  expect((await count(project, project.master)).status).toBe(200)
  const [greedy, modest] = [
    await accessKey(project, { queries_per_minute: 100 }),
    await accessKey(project, { queries_per_minute: 1 }),
  ]
  for (let i = 0; i < 3; i++) expect((await count(project, greedy)).status).toBe(200)
  await expectLimited(await count(project, greedy), 'queries_per_minute', 3)
  expect((await count(project, modest)).status).toBe(200)
  await expectLimited(await count(project, modest), 'queries_per_minute', 1)
  // A change holds at once.
  expect((await change(project, { limits: { read: { queries_per_minute: 1_000 } } })).status).toBe(200)
  await vi.waitFor(async () => expect((await count(project, project.read)).status).toBe(200))
})

test('queries at once', async () => {
  const project = await projectOf()
  const key = await accessKey(project, { concurrent_queries: 1 })
  const gate = Promise.withResolvers<void>()
  held = gate.promise
  const first = count(project, key)
  await vi.waitFor(() => expect(holding).toBe(1))
  await expectLimited(await count(project, key), 'concurrent_queries', 1)
  held = null
  gate.resolve()
  expect((await first).status).toBe(200)
  expect((await count(project, key)).status).toBe(200)
})

test('rows a query', async () => {
  const project = await projectOf()
  const key = await accessKey(project, { rows_per_query: 1 })
  const path = 'queries/sum?event_collection=c&target_property=n&timeframe=this_2_days'
  const answer = await fetch(`${server.url}/3.0/projects/${project.id}/${path}&api_key=${key}`)
  expect([answer.status, ((await answer.json()) as { error_code: string }).error_code]).toEqual([
    400,
    'QueryTooLargeError',
  ])
})

test.each([
  [{ queries_per_minute: 0 }, 'options.limits.queries_per_minute'],
  [{ nonsense: 1 }, 'options.limits.nonsense'],
  ['many', 'options.limits'],
])('a key with the limits %j is refused', async (limits, named) => {
  const answer = await keyOf(server.project, limits as object)
  expect(answer).toMatchObject({ status: 400, body: { message: expect.stringContaining(named) as string } })
})

test('a project with wrong limits is refused', async () => {
  const answer = await change(server.project, { limits: { read: { queries_per_minute: 'x' } } })
  const message = expect.stringContaining('preferences.limits.read.queries_per_minute') as string
  expect(answer).toMatchObject({ status: 400, body: { message } })
})

import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { call, DEPLOYMENT, createProject } from '../../support/api.ts'
import { type LiveServer, openLiveServer } from '../../support/live-server.ts'
import { openTail, type TailReader } from './reader.ts'

let server: LiveServer
beforeAll(async () => {
  server = await openLiveServer()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const readers: TailReader[] = []
async function tail(key: string, parameters?: Parameters<typeof openTail>[2]): Promise<TailReader> {
  const reader = await openTail(server, key, parameters)
  readers.push(reader)
  return reader
}
async function leaveAll(): Promise<void> {
  for (const reader of readers.splice(0)) reader.leave()
  await vi.waitFor(async () => expect(await server.metric('query_tails')).toBe(0))
}
const numbers = (reader: TailReader): unknown[] =>
  reader.events.map(({ n }) => n).toSorted((a, b) => Number(a) - Number(b))

test('an event recorded after the headers came is shown as an extraction shows it, with its place in the log', async () => {
  await server.record('visits', { n: 0 })
  const reader = await tail(server.project.read)
  expect(reader.status).toBe(200)
  expect(reader.headers.get('content-type')).toMatch(/^text\/event-stream/)
  expect(reader.headers.get('access-control-allow-origin')).toBe('*')
  await server.record('visits', { n: 1, big: 2 ** 53 + 2, keen: { timestamp: '2026-03-01T10:00:00+02:00' } })
  await reader.until(({ events }) => events.length === 1, 'the event')
  const [message] = reader.messages
  expect(message?.id).toMatch(/^[01]-\d+$/)
  expect(message?.data).toEqual({
    n: 1,
    big: 2 ** 53 + 2,
    keen: {
      timestamp: '2026-03-01T08:00:00.000Z',
      created_at: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/) as string,
    },
  })
  await leaveAll()
})

test('a tail shows its project’s events of its collections that pass its filters, and no others', async () => {
  const other = await createProject(server.url, DEPLOYMENT, 'other')
  const many = new URLSearchParams([
    ['event_collection', 'a'],
    ['event_collection', 'b b'],
  ])
  const [all, some, list, filtered] = await Promise.all([
    tail(server.project.master),
    tail(server.project.read, many),
    tail(server.project.read, { event_collection: '["c"]' }),
    tail(server.project.read, {
      filters: JSON.stringify([{ property_name: 'n', operator: 'gte', property_value: 3 }]),
    }),
  ])
  await call('POST', `${server.url}/3.0/projects/${other.id}/events/a`, { key: other.write, body: { n: 99 } })
  for (const [i, collection] of ['a', 'b%20b', 'c', 'a'].entries()) await server.record(collection, { n: i + 1 })
  await all.until(({ events }) => events.length === 4, 'all four')
  await filtered.until(({ events }) => events.length === 2, 'two that pass')
  await delay(100)
  expect([all, some, list, filtered].map(numbers)).toEqual([[1, 2, 3, 4], [1, 2, 4], [3], [3, 4]])
  await leaveAll()
})

test('the filters of an access key hold beside the reader’s own, whatever those say', async () => {
  const key = await server.accessKey({
    name: 'acme',
    permitted: ['queries'],
    options: { queries: { filters: [{ property_name: 'customer', operator: 'eq', property_value: 'acme' }] } },
  })
  const either = {
    operator: 'or',
    operands: [
      { property_name: 'customer', operator: 'exists', property_value: true },
      { property_name: 'customer', operator: 'exists', property_value: false },
    ],
  }
  const [mine, greedy, none] = await Promise.all([
    tail(key),
    tail(key, { filters: JSON.stringify([either]) }),
    tail(key, { filters: JSON.stringify([{ property_name: 'customer', operator: 'eq', property_value: 'other' }]) }),
  ])
  for (const [n, customer] of ['acme', 'other', undefined, ['x', 'acme'], 'ACME'].entries()) {
    await server.record('sales', customer === undefined ? { n } : { n, customer })
  }
  await mine.until(({ events }) => events.length === 2, 'two of acme')
  await greedy.until(({ events }) => events.length === 2, 'the same two')
  await delay(100)
  expect([mine, greedy, none].map(numbers)).toEqual([[0, 3], [0, 3], []])
  await leaveAll()
})

test('a change of the key’s filters holds for the tail that is open', async () => {
  const fields = (customer: string) => ({
    name: 'changing',
    is_active: true,
    permitted: ['queries'],
    options: { queries: { filters: [{ property_name: 'customer', operator: 'eq', property_value: customer }] } },
  })
  const key = await server.accessKey(fields('one'))
  const reader = await tail(key)
  await server.record('sales', { n: 1, customer: 'one' })
  await reader.until(({ events }) => events.length === 1, 'the first')
  await server.call('POST', `/keys/${key}`, server.project.master, fields('two'))
  await delay(1_000)
  await server.record('sales', { n: 2, customer: 'one' })
  await server.record('sales', { n: 3, customer: 'two' })
  await reader.until(({ events }) => events.length === 2, 'the second')
  await delay(100)
  expect(numbers(reader)).toEqual([1, 3])
  await leaveAll()
})

test.each(['revoked', 'without the permission', 'of a project that is deleted'] as const)(
  'the tail of a key that is %s ends within a second, and shows nothing afterwards',
  async (what) => {
    const doomed = await createProject(server.url, DEPLOYMENT, 'doomed')
    const keys = `${server.url}/3.0/projects/${doomed.id}/keys`
    const made = await call('POST', keys, { key: doomed.master, body: { name: 'k', permitted: ['queries'] } })
    const { key } = made.body as { key: string }
    const reader = await openTail({ url: server.url, project: doomed }, key)
    const change = {
      revoked: async () => call('POST', `${keys}/${key}/revoke`, { key: doomed.master }),
      'without the permission': async () =>
        call('POST', `${keys}/${key}`, {
          key: doomed.master,
          body: { name: 'k', is_active: true, permitted: ['schema'] },
        }),
      'of a project that is deleted': async () =>
        call('DELETE', `${server.url}/3.0/organizations/${DEPLOYMENT.organizationId}/projects/${doomed.id}`, {
          key: DEPLOYMENT.organizationKey,
        }),
    }
    const { status } = await change[what]()
    expect(status).toBeLessThan(300)
    const since = performance.now()
    await reader.ended
    expect(performance.now() - since).toBeLessThan(1_000)
    const code = {
      revoked: 'InvalidApiKeyError',
      'without the permission': 'KeyNotAuthorizedError',
      'of a project that is deleted': 'ResourceNotFoundError',
    }[what]
    expect(reader.messages.at(-1)).toMatchObject({ event: 'end', data: { error_code: code } })
    expect(await server.metric('query_tails')).toBe(0)
  },
)

test('tails share one reader of the log, which runs while there is one', async () => {
  let following = 0
  let most = 0
  await using own = await openLiveServer({
    wrapLog: (log) => ({
      ...log,
      append: async (...args) => log.append(...args),
      follow(topic, apply, signal, from) {
        const followed = log.follow(topic, apply, signal, from)
        if (from !== 'end') return followed
        following += 1
        most = Math.max(most, following)
        void followed.done.finally(() => (following -= 1))
        return followed
      },
    }),
  })
  const opened = await Promise.all([1, 2, 3].map(async () => openTail(own, own.project.read)))
  expect([following, most]).toEqual([1, 1])
  for (const reader of opened) reader.leave()
  await vi.waitFor(() => expect(following).toBe(0))
  const again = await openTail(own, own.project.read)
  expect(following).toBe(1)
  await own.record('c', { n: 1 })
  await again.until(({ events }) => events.length === 1, 'an event by the second reader')
  again.leave()
})

test('a log that can no longer be followed ends the tails, and the next one reads anew', async () => {
  const broken = new AbortController()
  await using own = await openLiveServer({
    wrapLog: (log) => ({
      ...log,
      append: async (...args) => log.append(...args),
      follow(topic, apply, signal, from) {
        const followed = log.follow(topic, apply, signal, from)
        if (from !== 'end' || broken.signal.aborted) return followed
        const done = new Promise<void>((_resolve, reject) => {
          broken.signal.addEventListener('abort', () => reject(new Error('gone')))
        })
        return { ...followed, done }
      },
    }),
  })
  const reader = await openTail(own, own.project.read)
  broken.abort()
  await reader.ended
  expect(reader.messages.at(-1)).toMatchObject({ event: 'end', data: { error_code: 'ServiceUnavailableError' } })
  const next = await openTail(own, own.project.read)
  await own.record('c', { n: 1 })
  await next.until(({ events }) => events.length === 1, 'an event')
  next.leave()
})

test('a message that is no event stops nobody', async () => {
  const reader = await tail(server.project.read)
  await server.log.append('tributary.events', [
    { partition: 0, key: null, value: Buffer.from('no event') },
    { partition: 0, key: null, value: null },
  ])
  await server.record('c', { n: 1 })
  await reader.until(({ events }) => events.length === 1, 'the event after it')
  expect(await server.metric('query_tail_events_total', { outcome: 'unreadable' })).toBe(1)
  await leaveAll()
})

test('closing the server ends the tails with a word, and does not wait for them', async () => {
  const own = await openLiveServer()
  const reader = await openTail(own, own.project.read)
  const since = performance.now()
  await own[Symbol.asyncDispose]()
  expect(performance.now() - since).toBeLessThan(3_000)
  await reader.ended
  expect(reader.messages.at(-1)).toMatchObject({ event: 'end', data: { error_code: 'ServiceUnavailableError' } })
})

test.each([
  ['filters={', 400, 'InvalidJSONError', 'filters'],
  ['filters=[]x', 400, 'InvalidJSONError', 'filters'],
  ['filters=[{"operator":"eq"}]', 400, 'InvalidFilterError', 'filters[0]'],
  ['filters=[{"property_name":"a","operator":"regex","property_value":"("}]', 400, 'InvalidFilterError', 'regex'],
  ['sample=0', 400, 'InvalidRequestFieldError', 'sample'],
  ['sample=2', 400, 'InvalidRequestFieldError', 'sample'],
  ['sample=NaN', 400, 'InvalidRequestFieldError', 'sample'],
  ['max_rate=0', 400, 'InvalidRequestFieldError', 'max_rate'],
  ['max_rate=1.5', 400, 'InvalidRequestFieldError', 'max_rate'],
  ['max_rate=1e9', 400, 'InvalidRequestFieldError', 'max_rate'],
  ['event_collection=[1]', 400, 'InvalidRequestFieldError', 'event_collection'],
  [`event_collection=${'x'.repeat(5_000)}`, 400, 'InvalidRequestFieldError', 'event_collection'],
  [Array.from({ length: 101 }, () => 'event_collection=a').join('&'), 400, 'InvalidRequestFieldError', 'event_coll'],
])('refused, and the parameter named: %.60s', async (query, status, code, named) => {
  const answer = await server.call('GET', `/tail?${query}`, server.project.read)
  expect(answer).toMatchObject({
    status,
    body: { error_code: code, message: expect.stringContaining(named) as string },
  })
  expect(await server.metric('query_tails')).toBe(0)
})

test('only keys that permit queries may tail; a HEAD is answered without a tail', async () => {
  const writesOnly = await server.accessKey({ name: 'w', permitted: ['writes', 'schema'] })
  for (const [key, status] of [
    [server.project.write, 403],
    [writesOnly, 403],
    ['F'.repeat(64), 401],
  ] as const) {
    expect((await server.call('GET', '/tail', key)).status).toBe(status)
  }
  const head = await fetch(`${server.url}/3.0/projects/${server.project.id}/tail?api_key=${server.project.read}`, {
    method: 'HEAD',
  })
  expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
  expect(await server.metric('query_tails')).toBe(0)
})

test('no key stands in a log line', async () => {
  const reader = await tail(server.project.read)
  await leaveAll()
  expect(reader.status).toBe(200)
  const text = server.lines.join('')
  expect(text).not.toContain(server.project.read)
  expect(text).not.toContain(server.project.master)
})

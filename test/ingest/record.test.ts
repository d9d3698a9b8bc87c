import { afterAll, beforeAll, expect, test } from 'vitest'
import { type IngestUnderTest, KEYS, openIngest, PROJECT } from '../support/ingest-app.ts'

let ingest: IngestUnderTest
beforeAll(async () => {
  ingest = await openIngest({ now: () => Date.UTC(2026, 0, 2) })
})
afterAll(async () => ingest.close())

const EVENTS = `/3.0/projects/${PROJECT}/events`

const post = async (url: string, payload: unknown, headers: Record<string, string> = {}) =>
  ingest.app.inject({
    method: 'POST',
    url,
    payload: typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload),
    headers: { authorization: KEYS.write, ...headers },
  })

test('a single event is acknowledged once it is in the log', async () => {
  const answer = await post(`${EVENTS}/purchases`, { price: 10, keen: { timestamp: '2024-01-02T03:04:05.678Z' } })
  expect([answer.statusCode, answer.body]).toEqual([201, '{"created":true}'])
  expect(await ingest.taken()).toMatchObject([
    {
      project: PROJECT,
      collection: 'purchases',
      timestampMs: Date.UTC(2024, 0, 2, 3, 4, 5, 678),
      createdAtMs: Date.UTC(2026, 0, 2),
      repeatKey: null,
      body: { price: 10 },
    },
  ])
})

test('bulk events have results of their own, in order, under the names sent, and a bad one costs no good one', async () => {
  const answer = await post(EVENTS, {
    purchases: [{ price: 10 }, { 'bad.name': 1 }, 'no object', { price: 11 }],
    'no\nname': [{ a: 1 }],
    logins: [{ user: 'bob' }],
    none: [],
  })
  expect(answer.statusCode).toBe(200)
  expect(answer.json()).toEqual({
    purchases: [
      { success: true },
      {
        success: false,
        error: { name: 'InvalidPropertyNameError', description: expect.stringContaining("'bad.name'") },
      },
      { success: false, error: { name: 'InvalidEventError', description: expect.any(String) } },
      { success: true },
    ],
    'no\nname': [{ success: false, error: { name: 'InvalidCollectionNameError', description: expect.any(String) } }],
    logins: [{ success: true }],
    none: [],
  })
  const taken = await ingest.taken()
  expect(taken.map(({ collection, body }) => [collection, body])).toEqual([
    ['purchases', { price: 10 }],
    ['purchases', { price: 11 }],
    ['logins', { user: 'bob' }],
  ])
  expect(taken[0]?.timestampMs).toBe(Date.UTC(2026, 0, 2))
})

import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { AppError } from '../../services/shared/errors.ts'
import { type IngestUnderTest, KEYS, openIngest, PROJECT } from '../support/ingest-app.ts'

const EVENTS = `/3.0/projects/${PROJECT}/events`

const post = async ({ app }: IngestUnderTest, url: string, body: unknown, key: string = KEYS.write) =>
  app.inject({ method: 'POST', url, payload: JSON.stringify(body), headers: { authorization: key } })

/** Of a counter, by the labels as Prometheus writes them. */
async function counted({ metrics }: IngestUnderTest, name: string): Promise<Record<string, number>> {
  const lines = (await metrics.getSingleMetricAsString(name)).split('\n').filter((line) => line.startsWith(name))
  return Object.fromEntries(
    lines.map((line) => [line.slice(name.length, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  )
}

const sum = (values: Record<string, number>): number => Object.values(values).reduce((a, b) => a + b, 0)

test.each(['LOG_BUSY', 'LOG_UNAVAILABLE'] as const)(
  '%s becomes 503 with Retry-After, for one event and for many',
  async (code) => {
    await using ingest = await openIngest({
      append: async () => {
        throw new AppError(code, 'secret inside')
      },
    })
    for (const [url, body] of [
      [`${EVENTS}/c`, { a: 1 }],
      [EVENTS, { c: [{ a: 1 }, { 'a.b': 1 }] }],
    ] as const) {
      const answer = await post(ingest, url, body)
      expect(answer.statusCode).toBe(503)
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
      expect(answer.headers['access-control-allow-origin']).toBe('*')
      expect(answer.json()).toEqual({
        message: expect.not.stringContaining('secret'),
        error_code: 'ServiceUnavailableError',
      })
    }
    expect(await counted(ingest, 'ingest_events_received_total')).toEqual({ '': 3 })
    expect(await counted(ingest, 'ingest_events_accepted_total')).toEqual({ '': 0 })
    expect(await counted(ingest, 'ingest_events_rejected_total')).toEqual({
      '{reason="InvalidPropertyNameError"}': 1,
      '{reason="log_unavailable"}': 2,
    })
  },
)

test('a fault in the log becomes 500 without its message, and is logged with the id that the caller gets', async () => {
  await using ingest = await openIngest({
    append: async () => {
      throw new Error('secret inside')
    },
  })
  const answer = await post(ingest, `${EVENTS}/c`, {})
  expect(answer.statusCode).toBe(500)
  expect(answer.body).not.toContain('secret')
  const { unique_id: id, error_code: code } = answer.json<{ unique_id: string; error_code: string }>()
  expect(code).toBe('InternalServerError')
  expect(ingest.lines.some((line) => line.includes('secret inside') && line.includes(id))).toBe(true)
})

test('nothing is acknowledged before the log has it', async () => {
  const log = Promise.withResolvers<ReadonlyMap<number, bigint>>()
  const asked = Promise.withResolvers<void>()
  await using ingest = await openIngest({
    append: async () => {
      asked.resolve()
      return log.promise
    },
  })
  let isAnswered = false
  const answer = post(ingest, `${EVENTS}/c`, {}).then((value) => {
    isAnswered = true
    return value
  })
  await asked.promise
  await new Promise((resolve) => setImmediate(resolve))
  expect(isAnswered).toBe(false)
  expect(await counted(ingest, 'ingest_events_appending')).toEqual({ '': 1 })
  log.resolve(new Map())
  expect((await answer).statusCode).toBe(201)
  expect(await counted(ingest, 'ingest_events_appending')).toEqual({ '': 0 })
})

test('every event that was read is counted once as accepted or rejected, every refused request by its code', async () => {
  await using ingest = await openIngest()
  await post(ingest, EVENTS, { c: [{}, { 'a.b': 1 }, { keen: 1 }, 1], 'bad\n': [{}, {}], d: [{}] })
  await post(ingest, `${EVENTS}/c`, {})
  await post(ingest, `${EVENTS}/c`, { a: 1.5e19 })
  await post(ingest, `${EVENTS}/c`, { 'a.b': 1 })
  await post(ingest, `${EVENTS}/c`, {}, 'wrong')
  await post(ingest, EVENTS, [])
  await ingest.app.inject({ method: 'POST', url: EVENTS, payload: '{', headers: { authorization: KEYS.write } })
  await ingest.app.inject(`${EVENTS}/c?data=e30`)
  await ingest.app.inject(`${EVENTS}/c`)
  const [received, accepted, rejected, requests] = await Promise.all(
    ['events_received', 'events_accepted', 'events_rejected', 'requests_rejected'].map((name) =>
      counted(ingest, `ingest_${name}_total`),
    ),
  )
  expect(received).toEqual({ '': 10 })
  expect(accepted).toEqual({ '': 3 })
  expect(sum(rejected ?? {})).toBe(7)
  expect(rejected).toMatchObject({
    '{reason="InvalidCollectionNameError"}': 2,
    '{reason="InvalidPropertyNameError"}': 2,
  })
  expect(requests).toEqual({
    '{reason="InvalidApiKeyError"}': 2,
    '{reason="InvalidBatchError"}': 1,
    '{reason="InvalidJSONError"}': 1,
  })
  expect(await ingest.taken()).toHaveLength(3)
})

test('whoever may not record is told before sending a body', async () => {
  await using ingest = await openIngest()
  const { port, hostname } = new URL(await ingest.app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), hostname)
  socket.write(`POST ${EVENTS}/c HTTP/1.1\r\nhost: x\r\nauthorization: wrong\r\ncontent-length: 9000000\r\n\r\n`)
  let text = ''
  for await (const chunk of socket) {
    text += String(chunk)
    if (text.includes('InvalidApiKeyError')) break
  }
  expect(text).toMatch(/^HTTP\/1.1 401 /)
})

test('no line of the log has a key or what was sent', async () => {
  await using ingest = await openIngest()
  await post(ingest, `${EVENTS}/c`, { private: 'PRIVATE' })
  await post(ingest, `${EVENTS}/c`, { 'PRIVATE.x': 'PRIVATE' })
  await ingest.app.inject(
    `${EVENTS}/c?api_key=${KEYS.write}&data=${Buffer.from('{"a":"PRIVATE"}').toString('base64url')}`,
  )
  await expect.poll(() => ingest.lines.length).toBeGreaterThanOrEqual(3)
  expect(ingest.lines.join('')).not.toMatch(/PRIVATE|B{32}|UFJJVkFURQ/)
})

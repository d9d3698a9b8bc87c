import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type IngestUnderTest, KEYS, openIngest, PROJECT } from '../support/ingest-app.ts'

const RUNS = Number(process.env['TRIBUTARY_FUZZ_RUNS'] ?? 300)
const EVENTS = `/3.0/projects/${PROJECT}/events`

let ingest: IngestUnderTest
beforeAll(async () => {
  ingest = await openIngest({
    autofill: { a: { b: 1 }, keen: { location: { coordinates: [1, 2] } } },
    settings: { redirectHosts: ['*'] },
    bodyBytesMax: 100_000,
  })
})
afterAll(async () => ingest.close())

const name = fc.oneof(
  fc.constantFrom('a', 'b.c', '$d', '__proto__', 'constructor', 'toJSON', '', 'keen', 'x'.repeat(257)),
  fc.string({ unit: 'binary', maxLength: 12 }),
)
const keen = fc.oneof(
  fc.record(
    {
      timestamp: fc.oneof(
        fc.date({ noInvalidDate: false }).map(String),
        fc.constant('2024-01-01T00:00:00Z'),
        fc.anything(),
      ),
      uniqueness_token: fc.oneof(fc.string({ unit: 'binary' }), fc.integer()),
      location: fc.oneof(fc.constant({ coordinates: [1, 2] }), fc.anything()),
      addons: fc.oneof(fc.constant([{ name: 'n', input: {}, output: 'o' }]), fc.anything()),
      id: fc.constant('x'),
    },
    { requiredKeys: [] },
  ),
  fc.jsonValue(),
)
const number = fc.oneof(fc.double(), fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(Number), fc.integer())
const value: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown; object: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.string({ unit: 'binary' }),
    number,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('object'),
  ),
  object: fc.dictionary(name, tie('value'), { maxKeys: 5 }),
})).object
const event = fc.oneof(
  { weight: 5, arbitrary: value },
  { weight: 3, arbitrary: fc.tuple(value, keen).map(([a, b]) => ({ ...(a as object), keen: b })) },
  { weight: 1, arbitrary: fc.jsonValue() },
)
const collection = fc.oneof(
  fc.constantFrom('c', 'a b', 'é', 'x'.repeat(65), '', '../x', '%'),
  fc.string({ unit: 'binary', maxLength: 8 }),
)

/** What breaks JSON: a byte changed, cut off, or put in. */
const damaged = (bytes: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc.tuple(bytes, fc.nat(), fc.nat(255), fc.constantFrom('change', 'cut', 'insert')).map(([whole, at, byte, how]) => {
    const i = whole.length === 0 ? 0 : at % whole.length
    if (how === 'cut') return whole.subarray(0, i)
    return Buffer.concat([whole.subarray(0, i), Buffer.from([byte]), whole.subarray(how === 'change' ? i + 1 : i)])
  })
const jsonBytes = (values: fc.Arbitrary<unknown>): fc.Arbitrary<Buffer> =>
  values.map((json) => Buffer.from(JSON.stringify(json) ?? ''))

/** Neither a 5xx nor an answer that a client could not read. */
function expectSane(answer: { statusCode: number; headers: Record<string, unknown>; body: string }): void {
  expect(answer.statusCode).toBeLessThan(500)
  expect(answer.headers['access-control-allow-origin']).toBe('*')
  if (answer.statusCode >= 400) {
    expect(JSON.parse(answer.body)).toMatchObject({
      message: expect.any(String),
      error_code: expect.stringMatching(/^\w+$/),
    })
  }
}

test('a marked good event beside any others is acknowledged and stored, and so is each that is acknowledged', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(collection, fc.array(event, { maxLength: 4 }), { maxKeys: 3 }),
      fc.nat(4),
      fc.constantFrom(KEYS.write, KEYS.autofill),
      async (others, at, key) => {
        const mine = [...(Object.hasOwn(others, 'mine') ? (others['mine'] ?? []) : [])]
        const place = Math.min(at, mine.length)
        mine.splice(place, 0, { marked: true })
        // Through entries: a collection may be called __proto__.
        const body = Object.fromEntries([...Object.entries(others), ['mine', mine]])
        const answer = await ingest.app.inject({
          method: 'POST',
          url: EVENTS,
          payload: JSON.stringify(body),
          headers: { authorization: key },
        })
        expectSane(answer)
        expect(answer.statusCode).toBe(200)
        const results =
          answer.json<Record<string, { success: boolean; error?: { name: string; description: string } }[]>>()
        const sent = JSON.parse(JSON.stringify(body)) as Record<string, unknown[]>
        expect(Object.keys(results)).toEqual(Object.keys(sent))
        const taken = await ingest.taken()
        for (const [name, events] of Object.entries(sent)) {
          const own = Object.getOwnPropertyDescriptor(results, name)?.value as { success: boolean }[]
          expect(own).toHaveLength(events.length)
          expect(taken.filter((stored) => stored.collection === name)).toHaveLength(
            own.filter(({ success }) => success).length,
          )
        }
        for (const { error } of Object.values(results).flat()) {
          if (error !== undefined) expect(error).toEqual({ name: expect.any(String), description: expect.any(String) })
        }
        expect(results['mine']?.[place]).toEqual({ success: true })
        expect(taken.filter(({ body: { marked } }) => marked === true)).toHaveLength(1)
        for (const { properties } of taken)
          expect(Buffer.from(properties.toString('utf8')).equals(properties)).toBe(true)
      },
    ),
    { numRuns: RUNS },
  )
})

test('any body, whole or damaged, compressed or not, under any header, gets a sane answer', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        jsonBytes(event),
        jsonBytes(fc.dictionary(collection, fc.oneof(fc.array(event), fc.anything()))),
        damaged(jsonBytes(event)),
        damaged(jsonBytes(fc.dictionary(collection, fc.array(event)))),
        fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        fc.nat(200_000).map((length) => Buffer.alloc(length, '[')),
      ),
      fc.record(
        {
          'content-type': fc.oneof(
            fc.constantFrom('application/json', 'text/plain', ';;;'),
            fc.string({ maxLength: 10 }),
          ),
          'content-encoding': fc.constantFrom('gzip', 'deflate', 'br', 'identity', 'gzip, gzip', ''),
          'idempotency-key': fc.string({ maxLength: 300 }),
          'x-request-id': fc.string(),
          authorization: fc.constantFrom(KEYS.read, '', 'Bearer', `Bearer ${KEYS.write}`, 'é'),
          accept: fc.string(),
        },
        { requiredKeys: [] },
      ),
      fc.boolean(),
      fc.oneof(
        fc.constant(''),
        collection.map((text) => `/${encodeURIComponent(text)}`),
      ),
      async (body, headers, compress, path) => {
        const payload = compress ? gzipSync(body) : body
        const sane = Object.fromEntries(
          Object.entries(headers).map(([key, text]) => [key, text.replaceAll(/[^\x20-\x7e]/g, '')]),
        )
        const url = `${EVENTS}${path}?api_key=${KEYS.write}`
        expectSane(await ingest.app.inject({ method: 'POST', url, payload, headers: sane }))
      },
    ),
    { numRuns: RUNS },
  )
  await ingest.taken()
})

test('any address gets a sane answer', async () => {
  const part = fc.oneof(
    fc.constantFrom(
      '3.0',
      'projects',
      PROJECT,
      'events',
      'c',
      '..',
      '%',
      '%2F',
      '%zz',
      '%00',
      '%E2%82',
      '__proto__',
      '',
    ),
    fc.webSegment(),
    fc.string({ unit: 'binary', maxLength: 8 }).map(encodeURIComponent),
  )
  const query = fc.dictionary(
    fc.constantFrom('api_key', 'data', 'redirect', 'jsonp', 'modified', 'c', '__proto__'),
    fc.oneof(
      fc.constantFrom(KEYS.write, 'e30', 'https://a.example/\r\nx: y', 'fn', '%zz', 'é', '\u2028'),
      jsonBytes(event).map((bytes) => bytes.toString('base64')),
      fc.string({ unit: 'binary' }),
    ),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.array(part, { maxLength: 7 }), fc.constant(['3.0', 'projects', PROJECT, 'events', 'c'])),
      query,
      fc.boolean(),
      fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'),
      async (path, parameters, encode, method) => {
        const pairs = Object.entries(parameters).map(
          ([key, text]) => `${key}=${encode ? encodeURIComponent(text) : text}`,
        )
        // What a client cannot send in a request line at all is not asked of the server.
        const url = `/${path.join('/')}?${pairs.join('&')}`.replaceAll(/[^\x21-\x7e]/g, '')
        const answer = await ingest.app.inject({ method: method as 'GET', url })
        if (method === 'HEAD') expect(answer.statusCode).toBeLessThan(500)
        else expectSane(answer)
      },
    ),
    { numRuns: RUNS },
  )
  await ingest.taken()
})

import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { partitionOfKey } from '../../services/shared/log/partition.ts'
import { type IngestUnderTest, KEYS, openIngest, PARTITIONS, PROJECT } from '../support/ingest-app.ts'

const NOW = Date.UTC(2026, 0, 2)
const AUTOFILL = {
  customer: { id: 'c1', plan: { name: 'gold' } },
  tags: ['filled'],
  keen: { addons: [{ name: 'keen:ip_to_geo', input: { ip: 'ip' }, output: 'geo' }] },
}

let ingest: IngestUnderTest
beforeAll(async () => {
  ingest = await openIngest({ now: () => NOW, autofill: AUTOFILL })
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

/** The text in the log of the only event that a body makes. */
const storedText = async (payload: unknown, headers: Record<string, string> = {}): Promise<string> => {
  expect((await post(`${EVENTS}/c`, payload, headers)).statusCode).toBe(201)
  const [event] = await ingest.taken()
  return String(event?.properties)
}

const refusal = async (payload: unknown, headers: Record<string, string> = {}) => {
  const answer = await post(`${EVENTS}/c`, payload, headers)
  return [answer.statusCode, answer.json<{ error_code: string }>().error_code]
}

test('a single event is acknowledged once it is in the log', async () => {
  const answer = await post(`${EVENTS}/purchases`, { price: 10, keen: { timestamp: '2024-01-02T03:04:05.678Z' } })
  expect([answer.statusCode, answer.body]).toEqual([201, '{"created":true}'])
  expect(answer.headers['content-type']).toContain('application/json')
  expect(await ingest.taken()).toMatchObject([
    {
      project: PROJECT,
      collection: 'purchases',
      timestampMs: Date.UTC(2024, 0, 2, 3, 4, 5, 678),
      createdAtMs: NOW,
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
  expect(taken[0]?.timestampMs).toBe(NOW)
})

test('empty things are no error: an event, a batch, a batch of nothing', async () => {
  expect(await storedText('{}')).toBe('{}')
  expect((await post(EVENTS, {})).body).toBe('{}')
  expect((await post(EVENTS, { a: [] })).body).toBe('{"a":[]}')
  expect(await ingest.taken()).toEqual([])
})

test('the project is looked at before the key, the key before the body, and what a key may do after that', async () => {
  const status = async (project: string, key: string | undefined) => {
    const answer = await ingest.app.inject({
      method: 'POST',
      url: `/3.0/projects/${project}/events/c`,
      payload: 'no JSON',
      ...(key === undefined ? {} : { headers: { authorization: key } }),
    })
    return [answer.statusCode, answer.json<{ error_code: string }>().error_code]
  }
  expect(await status('4fea721933da5b4e8e000002', 'any')).toEqual([404, 'ResourceNotFoundError'])
  expect(await status(PROJECT, 'wrong')).toEqual([401, 'InvalidApiKeyError'])
  expect(await status(PROJECT, undefined)).toEqual([401, 'InvalidApiKeyError'])
  expect(await status(PROJECT, KEYS.read)).toEqual([403, 'KeyNotAuthorizedError'])
  expect(await status(PROJECT, KEYS.nothing)).toEqual([403, 'KeyNotAuthorizedError'])
  for (const key of [KEYS.write, KEYS.master, KEYS.autofill, `Bearer ${KEYS.write}`]) {
    expect(await status(PROJECT, key)).toEqual([400, 'InvalidJSONError'])
  }
  expect(await ingest.taken()).toEqual([])
})

test('the key may stand in api_key, and a header that is there wins over it', async () => {
  const send = async (query: string, headers: Record<string, string>) =>
    (await ingest.app.inject({ method: 'POST', url: `${EVENTS}/c?${query}`, payload: '{}', headers })).statusCode
  expect(await send(`api_key=${KEYS.write}`, { 'content-type': 'text/plain;charset=UTF-8' })).toBe(201)
  expect(await send(`api_key=${KEYS.write}`, { authorization: '' })).toBe(201)
  expect(await send('api_key=undefined', { authorization: KEYS.write })).toBe(201)
  expect(await send(`api_key=${KEYS.write}`, { authorization: 'wrong' })).toBe(401)
  expect(await send('api_key=undefined', {})).toBe(401)
  expect(await send('api_key=null', {})).toBe(401)
  expect(await ingest.taken()).toHaveLength(3)
})

test('a collection may have a name with spaces, dots and slashes; one that is bad is refused', async () => {
  for (const name of ['User posts.new', 'a/b', '$x', '_y', 'x'.repeat(64), '%']) {
    expect((await post(`${EVENTS}/${encodeURIComponent(name)}`, '{}')).statusCode, name).toBe(201)
    expect((await ingest.taken())[0]?.collection).toBe(name)
  }
  for (const name of ['x'.repeat(65), 'é', 'a\nb', 'a\rb']) {
    const answer = await post(`${EVENTS}/${encodeURIComponent(name)}`, '{}')
    expect([answer.statusCode, answer.json()]).toEqual([
      400,
      { message: expect.stringContaining('Must be <= 64 characters'), error_code: 'InvalidCollectionNameError' },
    ])
  }
  expect(await ingest.taken()).toEqual([])
})

test.each([
  ['[1]', 400, 'InvalidEventError'],
  ['null', 400, 'InvalidEventError'],
  ['"text"', 400, 'InvalidEventError'],
  ['', 400, 'InvalidJSONError'],
  ['{"a":', 400, 'InvalidJSONError'],
  ['{"a":NaN}', 400, 'InvalidJSONError'],
  ['{"a.b":1}', 400, 'InvalidPropertyNameError'],
  ['{"":1}', 400, 'InvalidPropertyNameError'],
  ['{"a":{"b":[{"c.d":1}]}}', 400, 'InvalidPropertyNameError'],
  [JSON.stringify({ ['n'.repeat(257)]: 1 }), 400, 'InvalidPropertyNameError'],
  [JSON.stringify({ a: 'x'.repeat(10_000) }), 400, 'InvalidPropertyValueError'],
  ['{"a":1e400}', 400, 'InvalidPropertyValueError'],
  ['{"a":[-1e400]}', 400, 'InvalidPropertyValueError'],
  ['{"a":9223372036854775808}', 400, 'InvalidPropertyValueError'],
  ['{"a":-9223372036854775809}', 400, 'InvalidPropertyValueError'],
  [`{"a":${'9'.repeat(300)}}`, 400, 'InvalidPropertyValueError'],
  [`{"a":${'['.repeat(100)}${']'.repeat(100)}}`, 400, 'InvalidEventError'],
  ['{"keen":1}', 400, 'NamespaceTypeError'],
  ['{"keen":null}', 400, 'NamespaceTypeError'],
  ['{"keen":[]}', 400, 'NamespaceTypeError'],
  ['{"keen":{"AProperty":"x"}}', 400, 'InvalidKeenNamespaceProperty'],
  ['{"keen":{"id":"x"}}', 400, 'InvalidKeenNamespaceProperty'],
  ['{"keen":{"created_at":"2024-01-01T00:00:00Z"}}', 400, 'InvalidKeenNamespaceProperty'],
  ['{"keen":{"timestamp":"soon"}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"timestamp":1700000000}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"timestamp":"1969-12-31T23:59:59Z"}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"uniqueness_token":""}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"uniqueness_token":5}}', 400, 'InvalidPropertyValueError'],
  [JSON.stringify({ keen: { uniqueness_token: 'x'.repeat(65) } }), 400, 'InvalidPropertyValueError'],
  ['{"keen":{"location":"here"}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"location":{"coordinates":[1]}}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"location":{"coordinates":[1,91]}}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"addons":{}}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"addons":[{"name":"keen:ip_to_geo"}]}}', 400, 'InvalidPropertyValueError'],
  ['{"keen":{"addons":[{"name":"n","input":{},"output":"keen.x"}]}}', 400, 'InvalidPropertyValueError'],
])('%.60s is refused with %i %s and stores nothing', async (payload, status, code) => {
  expect(await refusal(payload)).toEqual([status, code])
  expect(await ingest.taken()).toEqual([])
})

test('what is just within the limits is taken', async () => {
  for (const payload of [
    JSON.stringify({ ['n'.repeat(256)]: 1, $a: 1, a: 'x'.repeat(9_999), b: '😀'.repeat(9_999) }),
    '{"a":9223372036854775807,"b":-9223372036854775808,"c":1.7e308,"d":5e-324}',
    `{"a":${'['.repeat(99)}${']'.repeat(99)}}`,
    JSON.stringify({ a: [1, 'x', null, true, { b: [] }], keen: { uniqueness_token: 'x'.repeat(64) } }),
  ]) {
    expect((await post(`${EVENTS}/c`, payload)).statusCode, payload.slice(0, 50)).toBe(201)
  }
  expect(await ingest.taken()).toHaveLength(4)
})

test('what is stored is the event without what Tributary keeps elsewhere', async () => {
  const keen = { timestamp: '2024-01-01T00:00:00Z', addons: [{ name: 'n', input: {}, output: 'o' }] }
  expect(await storedText({ a: 1, keen })).toBe('{"a":1}')
  expect(await storedText({ a: 1, keen: {} })).toBe('{"a":1}')
  expect(
    await storedText({ keen: { ...keen, location: { coordinates: [1.5, 2] }, uniqueness_token: 't' }, a: 1 }),
  ).toBe('{"keen":{"location":{"coordinates":[1.5,2]},"uniqueness_token":"t"},"a":1}')
  expect(await storedText('{ "a" : 1, "a" : 2 , "__proto__" : {"x":1} }')).toBe('{"a":2,"__proto__":{"x":1}}')
})

test('integers keep all their digits, and doubles their exponent', async () => {
  expect(await storedText('{"a":9007199254740993,"b":[-9223372036854775808,1.50],"c":12345678901234567}')).toBe(
    '{"a":9007199254740993,"b":[-9223372036854775808,1.5],"c":12345678901234567}',
  )
  expect(await storedText('{"a":1e20,"b":123456789012345678901.5}')).toBe('{"a":1e+20,"b":1.2345678901234568e+20}')
})

test('halves of surrogate pairs, which are no text, become replacement characters, in names too', async () => {
  expect(await storedText('{"a":"\\ud800x","\\uDC00":[{"b\\ud83d":"\\ud83d\\ude00"}]}')).toBe(
    '{"a":"\ufffdx","\ufffd":[{"b\ufffd":"😀"}]}',
  )
})

test('a body that is not UTF-8 is refused; a byte order mark is not', async () => {
  expect(await refusal(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toEqual([400, 'InvalidJSONError'])
  expect(await storedText(Buffer.from('\ufeff{"a":1}'))).toBe('{"a":1}')
})

test('a body may be compressed', async () => {
  expect(await storedText(gzipSync('{"a":1}'), { 'content-encoding': 'gzip' })).toBe('{"a":1}')
})

test('an event over its limit is too large by itself, and fails alone in a batch', async () => {
  const large = { a: Array.from({ length: 200 }, () => 'x'.repeat(5_000)) }
  expect(await refusal(large)).toEqual([413, 'EventTooLargeError'])
  expect((await post(EVENTS, { c: [large, { a: 1 }] })).json()).toMatchObject({
    c: [{ success: false, error: { name: 'EventTooLargeError' } }, { success: true }],
  })
  expect(await ingest.taken()).toHaveLength(1)
})

test('a request over its limit is too large, and so is one with too many events', async () => {
  expect(await refusal(`{"a":"${'x'.repeat(10_000_000)}"}`)).toEqual([413, 'RequestEntityTooLargeError'])
  const answer = await post(EVENTS, { c: Array.from({ length: 20_001 }, () => ({})) })
  expect([answer.statusCode, answer.json()]).toMatchObject([413, { error_code: 'RequestEntityTooLargeError' }])
  expect(await ingest.taken()).toEqual([])
})

test('autofill cannot make a request of small events large in the log', async () => {
  await using small = await openIngest({ autofill: { a: 'x'.repeat(5_000) }, settings: { appendBytesMax: 100_000 } })
  const send = async (count: number) =>
    small.app.inject({
      method: 'POST',
      url: EVENTS,
      headers: { authorization: KEYS.autofill },
      payload: JSON.stringify({ c: Array.from({ length: count }, () => ({})) }),
    })
  expect((await send(100)).json()).toMatchObject({ error_code: 'RequestEntityTooLargeError' })
  expect(await small.taken()).toEqual([])
  expect((await send(10)).statusCode).toBe(200)
})

test.each([['[]'], ['1'], ['null'], ['{"c":{}}'], ['{"c":[{}],"d":1}']])(
  'a batch that is no object of arrays is refused whole: %s',
  async (payload) => {
    const answer = await post(EVENTS, payload)
    expect([answer.statusCode, answer.json()]).toMatchObject([400, { error_code: 'InvalidBatchError' }])
    expect(await ingest.taken()).toEqual([])
  },
)

test('a body that nests deeper than any recursion could go is refused', async () => {
  for (const depth of [2_000, 100_000, 4_000_000]) {
    const answer = await post(`${EVENTS}/c`, `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`)
    expect(answer.statusCode).toBe(400)
    // Also where the text has to be read a second time, by a parser that recurses.
    const again = await post(
      `${EVENTS}/c`,
      `{"n":9007199254740993,"s":"\\ud800","a":${'['.repeat(depth)}${']'.repeat(depth)}}`,
    )
    expect(again.statusCode).toBe(400)
  }
  expect(await ingest.taken()).toEqual([])
})

test("an access key's autofill wins over what was sent, merges objects, replaces arrays", async () => {
  const sent = { customer: { id: 'liar', name: 'Ada' }, tags: ['a', 'b'], ip: '1.2.3.4' }
  expect(JSON.parse(await storedText(sent, { authorization: KEYS.autofill }))).toEqual({
    customer: { id: 'c1', name: 'Ada', plan: { name: 'gold' } },
    tags: ['filled'],
    ip: '1.2.3.4',
    geo: expect.objectContaining({ country_code: 'PL' }), // of 1.2.3.4, by the key's own add-on
  })
  expect(
    JSON.parse(
      await storedText({ customer: 'none', keen: { timestamp: '2024-01-01' } }, { authorization: KEYS.autofill }),
    ),
  ).toEqual({
    customer: { id: 'c1', plan: { name: 'gold' } },
    tags: ['filled'],
  })
  expect(JSON.parse(await storedText(sent))).toEqual(sent)
})

test('events with one uniqueness token share a repeat key and a partition, within their collection only', async () => {
  const event = (n: number, token: string) => ({ n, keen: { uniqueness_token: token } })
  await post(EVENTS, { a: [event(1, 't'), event(2, 'u')], b: [event(3, 't')] })
  await post(`${EVENTS}/a`, event(4, 't'))
  const taken = await ingest.taken()
  const keyOf = (n: number) => taken.find(({ body }) => body['n'] === n)?.repeatKey?.toString('hex')
  expect(keyOf(4)).toBe(keyOf(1))
  expect(new Set([1, 2, 3].map(keyOf)).size).toBe(3)
  for (const { repeatKey, partition } of taken) {
    expect(repeatKey).toHaveLength(16)
    expect(partition).toBe(partitionOfKey(repeatKey ?? Buffer.alloc(0), PARTITIONS))
  }
})

test('a request repeated with its Idempotency-Key has the same repeat keys, by place; a token counts for more', async () => {
  const body = {
    a: [{ n: 1 }, { bad: { 'x.y': 1 } }, { n: 2 }, { n: 3, keen: { uniqueness_token: 't' } }],
    b: [{ n: 4 }],
  }
  const keys = async (idempotencyKey: string) => {
    await post(EVENTS, body, { 'idempotency-key': idempotencyKey })
    const taken = await ingest.taken()
    return Object.fromEntries(taken.map(({ body: { n }, repeatKey }) => [String(n), repeatKey?.toString('hex')]))
  }
  const first = await keys('one')
  expect(await keys('one')).toEqual(first)
  expect(new Set(Object.values(first)).size).toBe(4)
  const other = await keys('two')
  expect(other['3']).toBe(first['3'])
  for (const n of ['1', '2', '4']) expect(other[n]).not.toBe(first[n])
  expect(await refusal({}, { 'idempotency-key': 'x'.repeat(256) })).toEqual([400, 'InvalidRequestError'])
})

test('events without a repeat key spread over all partitions, request by request', async () => {
  for (let i = 0; i < 2 * PARTITIONS; i += 1) await post(EVENTS, { c: [{}, {}, {}] })
  const taken = await ingest.taken()
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    expect(taken.filter((event) => event.partition === partition)).toHaveLength(6)
  }
})

test('every event has an id of its own, a UUIDv7 of the time it came', async () => {
  await post(EVENTS, { c: Array.from({ length: 2_000 }, () => ({})) })
  const ids = (await ingest.taken()).map(({ id }) => id.toString('hex'))
  expect(new Set(ids).size).toBe(2_000)
  const prefix = NOW.toString(16).padStart(12, '0')
  for (const id of ids) expect(id).toMatch(new RegExp(`^${prefix}7[0-9a-f]{3}[89ab][0-9a-f]{15}$`))
})

import { describe, expect, test } from 'vitest'
import { deployed, EVER, failure } from './deployment.ts'

const at = deployed({ TRIBUTARY_REDIRECT_HOSTS: 'example.com' })
const base64 = (event: object): string => Buffer.from(JSON.stringify(event)).toString('base64')

describe('2.1 single events', () => {
  test('2.1 201 and created', async () => {
    const { send, project } = at()
    for (const key of [project.write, project.master]) {
      const { status, body } = await send('POST', '/events/single', { key, body: { a: { b: [1, 'x', null] } } })
      expect({ status, body }).toEqual({ status: 201, body: { created: true } })
    }
  })

  test('2.1 an empty object is an event', async () => {
    const { send, project } = at()
    expect((await send('POST', '/events/empty', { key: project.write, body: {} })).status).toBe(201)
  })

  test('2.1 a read key records nothing', async () => {
    const { send, project } = at()
    expect((await send('POST', '/events/single', { key: project.read, body: {} })).status).toBe(403)
  })
})

describe('2.2 bulk', () => {
  test('2.2 every event has its outcome, in its place', async () => {
    const { send, project, counted } = at()
    const { status, body } = await send('POST', '/events', {
      key: project.write,
      body: { purchases: [{ price: 10 }, { 'bad.name': 1 }, { price: 11 }], logins: [{ user: 'bob' }], none: [] },
    })
    expect(status).toBe(200)
    expect(body).toEqual({
      purchases: [
        { success: true },
        {
          success: false,
          error: { name: 'InvalidPropertyNameError', description: expect.stringContaining('bad.name') },
        },
        { success: true },
      ],
      logins: [{ success: true }],
      none: [],
    })
    await counted('purchases', 2)
  })

  test('2.2 an invalid collection name fails its events one by one', async () => {
    const { send, project } = at()
    const { status, body } = await send('POST', '/events', { key: project.write, body: { 'caf\u00e9': [{}, {}] } })
    expect(status).toBe(200)
    const failed = { success: false, error: { name: 'InvalidCollectionNameError', description: expect.any(String) } }
    expect(body).toEqual({ 'caf\u00e9': [failed, failed] })
  })

  test('2.2 nothing in, nothing out', async () => {
    const { send, project } = at()
    expect(await send('POST', '/events', { key: project.write, body: {} })).toMatchObject({ status: 200, body: {} })
  })

  test.each([[[]], [{ a: 1 }], ['x']])('2.2 %j is not a batch', async (batch) => {
    const { send, project } = at()
    const { status, body } = await send('POST', '/events', { key: project.write, body: JSON.stringify(batch) })
    expect({ status, body }).toEqual({ status: 400, body: failure('InvalidBatchError') })
  })
})

describe('2.3 by GET', () => {
  test('2.3 an image answers an image', async () => {
    const { send, project, counted } = at()
    const { status, headers } = await send(
      'GET',
      `/events/beacon?api_key=${project.write}&data=${encodeURIComponent(base64({ n: 1 }))}&modified=1&c=clv1`,
    )
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('image/gif')
    expect(headers.get('cache-control')).toBe('no-store')
    await counted('beacon', 1)
  })

  test.each([
    [
      'the URL alphabet without padding',
      base64({ t: '>>>???', u: 'ö' }).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', ''),
    ],
    ['+ that arrived as a space', base64({ t: '>>>', u: 'a' })],
    ['double percent-encoding', encodeURIComponent(encodeURIComponent(base64({ t: 'ö?' })))],
  ])('2.3 data in %s', async (_name, data) => {
    const { send, project } = at()
    const { status } = await send('GET', `/events/odd?api_key=${project.write}&data=${data}`)
    expect(status).toBe(200)
  })

  test('2.3 JSON to those who ask for it, and JSONP', async () => {
    const { send, project } = at()
    const url = `/events/beacon2?api_key=${project.write}&data=${encodeURIComponent(base64({ n: 1 }))}`
    expect((await send('GET', url, { headers: { accept: 'application/json' } })).body).toEqual({ created: true })
    expect((await send('GET', `${url}&jsonp=cb`)).text).toContain('cb({"created":true})')
  })

  test('2.3 redirects, to hosts that are allowed', async () => {
    const { send, project, counted } = at()
    const url = `/events/clicks?api_key=${project.write}&data=${encodeURIComponent(base64({ n: 1 }))}`
    const { status, headers } = await send('GET', `${url}&redirect=${encodeURIComponent('https://example.com/x?y=1')}`)
    expect({ status, location: headers.get('location') }).toEqual({
      status: 302,
      location: 'https://example.com/x?y=1',
    })
    await counted('clicks', 1)
    expect((await send('GET', `${url}&redirect=${encodeURIComponent('https://evil.test/')}`)).status).toBe(400)
  })
})

describe('2.5 and 2.6 rules for events', () => {
  const long = (n: number): string => 'x'.repeat(n)
  test.each([
    ['InvalidCollectionNameError', long(65), {}],
    ['InvalidPropertyNameError', 'rules', { [long(257)]: 1 }],
    ['InvalidPropertyNameError', 'rules', { 'a.b': 1 }],
    ['InvalidPropertyNameError', 'rules', { a: { '': 1 } }],
    ['InvalidPropertyValueError', 'rules', { text: long(10_000) }],
    ['NamespaceTypeError', 'rules', { keen: 1 }],
    ['InvalidKeenNamespaceProperty', 'rules', { keen: { AProperty: 'x' } }],
    ['InvalidKeenNamespaceProperty', 'rules', { keen: { id: 'x' } }],
    ['InvalidKeenNamespaceProperty', 'rules', { keen: { created_at: '2026-01-01T00:00:00Z' } }],
  ])('2.5 %s', async (code, collection, event) => {
    const { send, project } = at()
    const { status, body } = await send('POST', `/events/${collection}`, { key: project.write, body: event })
    expect({ status, body }).toEqual({ status: 400, body: failure(code) })
  })

  test('2.5 $-names, long names, deep nesting, nulls, arrays of objects are taken', async () => {
    const { send, project } = at()
    let deep: unknown = 1
    for (let i = 0; i < 50; i++) deep = { d: deep }
    const event = { $name: 1, [long(256)]: 1, deep, nothing: null, list: [{ a: 1 }, { a: 2 }], text: long(9_999) }
    expect((await send('POST', '/events/taken', { key: project.write, body: event })).status).toBe(201)
  })

  test('2.6 timestamps in every form SDKs send; stored in UTC with milliseconds', async () => {
    const { send, project, ask, counted } = at()
    const written = [
      '2026-03-01T10:00:00Z',
      '2026-03-01T10:00:00.123456',
      '2026-03-01T02:00:00.1234567-08:00',
      '2026-03-01T10:00:00.123+0000',
      '2026-03-01T10:00:00+00:00',
    ]
    for (const timestamp of written) {
      expect((await send('POST', '/events/times', { key: project.write, body: { keen: { timestamp } } })).status).toBe(
        201,
      )
    }
    await counted('times', written.length)
    const { body } = await ask('extraction', {
      event_collection: 'times',
      timeframe: EVER,
      property_names: ['keen.timestamp'],
    })
    const found = (body as { result: { keen: { timestamp: string } }[] }).result.map((event) => event.keen.timestamp)
    expect(found.toSorted()).toEqual([
      '2026-03-01T10:00:00.000Z',
      '2026-03-01T10:00:00.000Z',
      '2026-03-01T10:00:00.123Z',
      '2026-03-01T10:00:00.123Z',
      '2026-03-01T10:00:00.123Z',
    ])
  })

  test('2.6 of a collection’s events with one uniqueness_token, the first is stored', async () => {
    const { send, project, counted } = at()
    for (const n of [1, 2, 3]) {
      const { status } = await send('POST', '/events/unique', {
        key: project.write,
        body: { n, keen: { uniqueness_token: 't' } },
      })
      expect(status).toBe(201)
    }
    await send('POST', '/events/unique', { key: project.write, body: { n: 4 } })
    await counted('unique', 2)
  })

  test('2.5 an event over 900,000 bytes is a 413', async () => {
    const { send, project } = at()
    const event = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`p${i}`, long(9_100)]))
    expect((await send('POST', '/events/large', { key: project.write, body: event })).status).toBe(413)
  })
})

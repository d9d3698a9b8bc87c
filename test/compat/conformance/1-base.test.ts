import { describe, expect, test } from 'vitest'
import { deployed, EVER, failure } from './deployment.ts'

const at = deployed()

describe('1.1 versions and discovery', () => {
  test('1.1 GET / lists the versions', async () => {
    const { status, body } = await at().sendTo('GET', '/')
    expect(status).toBe(200)
    expect(body).toContainEqual({ is_public: true, url: '/3.0', version: '3.0' })
    expect(body).toContainEqual({ is_public: false, url: '/2.0', version: '2.0' })
  })

  test('1.1 GET /3.0 says where projects are', async () => {
    expect((await at().sendTo('GET', '/3.0')).body).toEqual({ projects_resource_url: '/3.0/projects' })
  })

  test('1.1 HEAD works where GET does', async () => {
    const { project } = at()
    for (const path of ['/', '/3.0', `/3.0/projects/${project.id}/queries`, `/3.0/projects/${project.id}/events`]) {
      const { status, text } = await at().sendTo('HEAD', path, { key: project.read })
      expect({ path, status, text }).toEqual({ path, status: 200, text: '' })
    }
  })

  test('1.1 a project that is not there is a 404 before its key is looked at', async () => {
    const { status, body } = await at().sendTo('GET', `/3.0/projects/${'f'.repeat(24)}/queries`, { key: 'bogus' })
    expect({ status, body }).toEqual({ status: 404, body: failure('ResourceNotFoundError') })
  })

  test.each(['User posts.new', 'infinite possibilities', 'a/b'])(
    '1.1 the collection %j travels percent-encoded',
    async (name) => {
      const { send, project, counted } = at()
      const path = `/events/${encodeURIComponent(name)}`
      expect((await send('POST', path, { key: project.write, body: { n: 1 } })).status).toBe(201)
      await counted(name, 1)
    },
  )
})

describe('1.3 where the key is sent', () => {
  const COUNT = `/queries/count?event_collection=keys&timeframe=this_1_days`
  test('1.3 in the header, raw; in api_key; with an accidental Bearer', async () => {
    const { send, project, record } = at()
    await record({ keys: [{ n: 1 }] })
    expect((await send('GET', COUNT, { key: project.read })).body).toEqual({ result: 1 })
    expect((await send('GET', `${COUNT}&api_key=${project.read}`)).body).toEqual({ result: 1 })
    expect((await send('GET', COUNT, { key: `Bearer ${project.read}` })).body).toEqual({ result: 1 })
  })

  test('1.3 a header that is there wins over api_key=undefined; without one that is no key', async () => {
    const { send, project } = at()
    expect((await send('GET', `${COUNT}&api_key=undefined`, { key: project.read })).status).toBe(200)
    for (const key of ['undefined', 'null', '']) {
      const { status, body } = await send('GET', `${COUNT}&api_key=${key}`)
      expect({ status, body }).toEqual({ status: 401, body: failure('InvalidApiKeyError') })
    }
  })
})

describe('1.4 to 1.7 bodies, answers, CORS, JSONP', () => {
  test('1.4 a body is read by what it is, not by its Content-Type', async () => {
    const { send, project } = at()
    for (const type of ['text/plain;charset=UTF-8', 'application/x-www-form-urlencoded', 'nonsense']) {
      const { status } = await send('POST', `/events/types?api_key=${project.write}`, {
        body: '{"a":1}',
        headers: { 'content-type': type },
      })
      expect({ type, status }).toEqual({ type, status: 201 })
    }
  })

  test('1.6 a pre-flight needs no key, and every answer may be read by any origin', async () => {
    const { send, project } = at()
    const flight = await send('OPTIONS', '/queries/count', {
      headers: {
        origin: 'https://example.com',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,keen-sdk',
      },
    })
    expect(flight.status).toBe(204)
    expect(flight.headers.get('access-control-allow-origin')).toBe('*')
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'HEAD']) {
      expect(flight.headers.get('access-control-allow-methods')).toContain(method)
    }
    for (const name of ['authorization', 'content-type', 'keen-sdk', 'x-keen-blob-metadata']) {
      expect(flight.headers.get('access-control-allow-headers')?.toLowerCase()).toContain(name)
    }
    const refused = await send('GET', '/queries/count', {
      key: project.write,
      headers: { origin: 'https://example.com' },
    })
    expect(refused.headers.get('access-control-allow-origin')).toBe('*')
  })

  test('1.7 JSONP wraps the answer, and an error as well, with status 200', async () => {
    const { send, project } = at()
    const query = `/queries/count?event_collection=keys&timeframe=this_1_days&jsonp=keenJSONPCallback1`
    const good = await send('GET', `${query}&api_key=${project.read}`)
    expect(good.headers.get('content-type')).toContain('application/javascript')
    expect(good.text).toMatch(/^(\/\*\*\/ ?)?keenJSONPCallback1\(\{"result":\d+\}\);?$/)
    const bad = await send('GET', `${query}&api_key=WRONG`)
    expect(bad.status).toBe(200)
    expect(bad.text).toContain('InvalidApiKeyError')
  })
})

describe('1.8 and 1.9 errors', () => {
  const bad = (name: string, query: object, analysis = 'count'): [string, string, object] => [name, analysis, query]
  test.each([
    ['MissingRequiredRequestFieldError', ...bad('timeframe', { event_collection: 'keys' })],
    ['MissingRequiredRequestFieldError', ...bad('event_collection', { timeframe: EVER })],
    [
      'MissingRequiredRequestFieldError',
      ...bad('target_property', { event_collection: 'keys', timeframe: EVER }, 'sum'),
    ],
    ['InvalidTimeframeError', ...bad('timeframe', { event_collection: 'keys', timeframe: 'next_week' })],
    [
      'InvalidTimezoneError',
      ...bad('timezone', { event_collection: 'keys', timeframe: 'today', timezone: 'Mars/Base' }),
    ],
    ['InvalidIntervalError', ...bad('interval', { event_collection: 'keys', timeframe: EVER, interval: 'secondly' })],
    [
      'InvalidFilterError',
      ...bad('operator', {
        event_collection: 'keys',
        timeframe: EVER,
        filters: [{ property_name: 'a', operator: 'like', property_value: 1 }],
      }),
    ],
    [
      'InvalidPropertyNameForGeoFilter',
      ...bad('keen.location.coordinates', {
        event_collection: 'keys',
        timeframe: EVER,
        filters: [
          {
            property_name: 'place',
            operator: 'within',
            property_value: { coordinates: [0, 0], max_distance_miles: 1 },
          },
        ],
      }),
    ],
    [
      'InvalidOrderByError',
      ...bad('order_by', { event_collection: 'keys', timeframe: EVER, order_by: { property_name: 'a' } }),
    ],
    ['TooManyBucketsError', ...bad('9000', { event_collection: 'keys', timeframe: EVER, interval: 'minutely' })],
  ])('1.9 %s names %s', async (code, names, analysis, query) => {
    const { status, body } = await at().ask(analysis, query)
    expect({ status, body }).toEqual({ status: 400, body: failure(code) })
    expect((body as { message: string }).message).toContain(names)
  })

  test('1.9 a body that is not JSON', async () => {
    const { send, project } = at()
    const { status, body } = await send('POST', '/queries/count', { key: project.read, body: '{"a":' })
    expect({ status, body }).toEqual({ status: 400, body: failure('InvalidJSONError') })
  })

  test('1.9 a master-only resource under a lesser key is a 401, a key without the permission a 403', async () => {
    const { send, project, accessKey } = at()
    expect(await send('GET', '/keys', { key: project.read })).toMatchObject({
      status: 401,
      body: failure('AdminOnlyEndpointError'),
    })
    const key = await accessKey({ permitted: ['writes'] })
    expect(await send('GET', '/queries/count', { key })).toMatchObject({
      status: 403,
      body: failure('KeyNotAuthorizedError'),
    })
  })

  test('1.9 a method that a resource does not have', async () => {
    const { status, body, headers } = await at().send('PATCH', '/queries/count', { key: at().project.read })
    expect({ status, body }).toEqual({ status: 405, body: failure('MethodNotAllowedError') })
    expect(headers.get('allow')).toContain('POST')
  })

  test('1.9 a collection never seen is a 404', async () => {
    const { status, body } = await at().ask('count', { event_collection: 'never', timeframe: 'today' })
    expect({ status, body }).toEqual({ status: 404, body: failure('ResourceNotFoundError') })
  })
})

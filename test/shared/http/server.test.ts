import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { gzipSync, deflateSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import type { FastifyInstance } from 'fastify'
import { AppError } from '../../../services/shared/errors.ts'
import { bodyOf } from '../../../services/shared/http/body.ts'
import { registerDiscovery } from '../../../services/shared/http/discovery.ts'
import { parseJson } from '../../../services/shared/http/json.ts'
import { buildServer, type ServerOptions } from '../../../services/shared/http/server.ts'
import { createLogger } from '../../../services/shared/telemetry/logger.ts'
import { createMetrics, type Registry } from '../../../services/shared/telemetry/metrics.ts'

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': expect.stringContaining('DELETE'),
  'access-control-allow-headers': expect.stringMatching(/authorization.*content-type.*keen-sdk/i),
  'access-control-max-age': '86400',
}

interface Built {
  readonly app: FastifyInstance
  readonly lines: string[]
  readonly metrics: Registry
}

function build(options: Partial<ServerOptions> = {}): Built {
  const lines: string[] = []
  const metrics = createMetrics()
  const logger = createLogger({ level: 'debug', service: 'test' }, { write: (line) => void lines.push(line) })
  const app = buildServer({
    logger,
    metrics,
    bodyBytesMax: 1_000,
    isReady: async () => ({ ready: true, problems: [] }),
    ...options,
  })
  registerDiscovery(app)
  app.post('/echo', (request) => ({ body: parseJson(bodyOf(request)) }))
  app.get('/echo', () => ({ got: true }))
  app.get('/things/:name', (request) => request.params)
  app.get('/refuse/:code', () => {
    throw new AppError('KeyNotAuthorizedError', 'This key may not do this.')
  })
  app.get('/busy', () => {
    throw new AppError('LOG_BUSY', 'the queue is full', { retryAfterS: 3 })
  })
  app.get('/bug', () => {
    throw new TypeError('secret inside')
  })
  app.get('/large', () => ({ text: 'x'.repeat(50_000) }))
  onTestFinished(() => app.close())
  return { app, lines, metrics }
}

test('every answer carries the CORS headers: success, refusal, fault, no such route, no such method, bad URL', async () => {
  const { app } = build()
  for (const [method, url, status] of [
    ['GET', '/echo', 200],
    ['GET', '/refuse/1', 403],
    ['GET', '/bug', 500],
    ['GET', '/nothing', 404],
    ['DELETE', '/echo', 405],
    ['GET', '/things/%zz', 400],
    ['HEAD', '/echo', 200],
  ] as const) {
    const answer = await app.inject({ method, url })
    expect([url, answer.statusCode]).toEqual([url, status])
    expect(answer.headers).toMatchObject(CORS)
  }
})

test('a pre-flight of any path succeeds without a key', async () => {
  const { app } = build()
  for (const url of ['/echo', '/nothing', '/things/%zz']) {
    const answer = await app.inject({
      method: 'OPTIONS',
      url,
      headers: { origin: 'https://a.example', 'access-control-request-headers': 'authorization,content-type,keen-sdk' },
    })
    expect(answer.statusCode, url).toBe(204)
    expect(answer.headers).toMatchObject(CORS)
  }
})

test('errors come as a message and an error_code, and nothing of a fault inside is told', async () => {
  const { app, lines } = build()
  expect((await app.inject('/refuse/1')).json()).toEqual({
    message: 'This key may not do this.',
    error_code: 'KeyNotAuthorizedError',
  })
  expect((await app.inject('/nothing')).json()).toMatchObject({ error_code: 'ResourceNotFoundError' })
  const wrongMethod = await app.inject({ method: 'PUT', url: '/echo' })
  expect(wrongMethod.json()).toMatchObject({ error_code: 'MethodNotAllowedError' })
  expect(wrongMethod.headers['allow']).toBe('GET, HEAD, OPTIONS, POST')
  const busy = await app.inject('/busy')
  expect([busy.statusCode, busy.headers['retry-after']]).toEqual([503, '3'])
  expect(busy.json()).toMatchObject({ error_code: 'ServiceUnavailableError' })
  const bug = await app.inject('/bug')
  expect(bug.statusCode).toBe(500)
  expect(bug.json()).toEqual({
    message: 'Internal server error.',
    error_code: 'InternalServerError',
    unique_id: bug.headers['x-request-id'],
  })
  expect(lines.filter((line) => line.includes('secret inside'))).toHaveLength(1)
})

test('a body is read whatever its Content-Type says', async () => {
  const { app } = build()
  for (const type of [
    'application/json',
    'text/plain;charset=UTF-8',
    'no type at all',
    '',
    'application/x-www-form-urlencoded',
  ]) {
    const answer = await app.inject({
      method: 'POST',
      url: '/echo',
      payload: '{"a":1}',
      headers: { 'content-type': type },
    })
    expect([type, answer.json()]).toEqual([type, { body: { a: 1 } }])
  }
})

test('a body that is compressed is inflated, and one in an unknown coding is refused', async () => {
  const { app } = build()
  const post = async (payload: Buffer, coding: string) =>
    app.inject({ method: 'POST', url: '/echo', payload, headers: { 'content-encoding': coding } })
  expect((await post(gzipSync('{"a":1}'), 'gzip')).json()).toEqual({ body: { a: 1 } })
  expect((await post(deflateSync('{"a":1}'), 'deflate')).json()).toEqual({ body: { a: 1 } })
  expect((await post(Buffer.from('{"a":1}'), 'identity')).json()).toEqual({ body: { a: 1 } })
  for (const [payload, coding] of [
    [Buffer.from('{"a":1}'), 'compress'],
    [Buffer.from('{"a":1}'), 'gzip'],
    [gzipSync('{"a":1}').subarray(0, 12), 'gzip'],
  ] as const) {
    const answer = await post(payload, coding)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ error_code: 'InvalidRequestError' })
  }
})

test('a body over the limit is refused as too large: announced, chunked, or a bomb that inflates', async () => {
  const { app, metrics } = build()
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const large = JSON.stringify('x'.repeat(2_000))
  const bomb = gzipSync(Buffer.alloc(20_000_000, 'x'))
  expect(bomb.length).toBeGreaterThan(1_000)
  const small = gzipSync(Buffer.alloc(100_000, 'x'))
  expect(small.length).toBeLessThan(1_000)
  const streamed = new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.from(large))
      controller.close()
    },
  })
  for (const init of [
    { body: large },
    { body: streamed, duplex: 'half' as const },
    { body: bomb, headers: { 'content-encoding': 'gzip' } },
    { body: small, headers: { 'content-encoding': 'gzip' } },
  ]) {
    const answer = await fetch(`${address}/echo`, { method: 'POST', ...init })
    expect(answer.status).toBe(413)
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(await answer.json()).toMatchObject({ error_code: 'RequestEntityTooLargeError' })
  }
  await expect.poll(() => metrics.getSingleMetricAsString('http_request_bodies_bytes')).toContain('_bytes 0')
})

test('bodies in progress are bounded together, and callers beyond the bound are told to come back', async () => {
  const { app, metrics } = build({ bodyBytesMax: 1_000, bodiesBytesMax: 1_000 })
  const address = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const slow = connect(Number(address.port), address.hostname)
  slow.write(`POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n${' '.repeat(600)}`)
  await expect.poll(() => metrics.getSingleMetricAsString('http_request_bodies_bytes')).toContain('_bytes 600')
  const post = async () => fetch(`${address.origin}/echo`, { method: 'POST', body: `"${'x'.repeat(500)}"` })
  const refused = await post()
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
  expect(await refused.json()).toMatchObject({ error_code: 'ServiceUnavailableError' })
  slow.destroy()
  await expect.poll(() => metrics.getSingleMetricAsString('http_request_bodies_bytes')).toContain('_bytes 0')
  expect((await post()).status).toBe(200)
})

test('bytes that are no HTTP, and headers that are too long, get an answer in JSON', async () => {
  const { app } = build({ headerBytesMax: 8_000 })
  const { port, hostname } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const send = async (bytes: string): Promise<string> => {
    const socket = connect(Number(port), hostname)
    socket.end(bytes)
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    return text
  }
  expect(await send('what is this\r\n\r\n')).toMatch(
    /^HTTP\/1.1 400 [^]*allow-origin[^]*"error_code":"InvalidRequestError"/,
  )
  expect(await send(`GET /${'x'.repeat(9_000)} HTTP/1.1\r\nhost: x\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 [^]*"error_code"/)
})

test('a parameter of a path may be as long as a URL', async () => {
  const { app } = build()
  const name = 'x'.repeat(2_000)
  expect((await app.inject(`/things/${name}`)).json()).toEqual({ name })
})

test('jsonp wraps answers and errors of GET as a script with status 200, and refuses what is no name', async () => {
  const { app } = build()
  const good = await app.inject('/echo?jsonp=keenJSONPCallback123a')
  expect([good.statusCode, good.headers['content-type'], good.body]).toEqual([
    200,
    'application/javascript; charset=utf-8',
    'keenJSONPCallback123a({"got":true})',
  ])
  const refused = await app.inject('/refuse/1?jsonp=fn')
  expect([refused.statusCode, refused.body]).toEqual([
    200,
    'fn({"message":"This key may not do this.","error_code":"KeyNotAuthorizedError"})',
  ])
  expect((await app.inject('/echo?jsonp=alert(1)//')).body).toBe('{"got":true}')
})

test('large answers are compressed for callers that take gzip', async () => {
  const { app } = build()
  const { port, hostname } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const answer = await fetch(`http://${hostname}:${port}/large`)
  expect(answer.headers.get('content-encoding')).toBe('gzip')
  expect(await answer.json()).toEqual({ text: 'x'.repeat(50_000) })
  const plain = await app.inject({ url: '/large', headers: { 'accept-encoding': 'gzip;q=0' } })
  expect(plain.headers['content-encoding']).toBeUndefined()
})

test('a sane request id is kept, any other replaced', async () => {
  const { app } = build()
  const idOf = async (id: string) =>
    (await app.inject({ url: '/echo', headers: { 'x-request-id': id } })).headers['x-request-id']
  expect(await idOf('abc-1.2:3_4')).toBe('abc-1.2:3_4')
  expect(await idOf('a b')).not.toBe('a b')
  expect(await idOf('x'.repeat(65))).toMatch(/^[\w-]{3,40}$/)
})

test('a log line has the route, never the query string, the key or the body', async () => {
  const { app, lines } = build()
  await app.inject({ url: '/things/one?api_key=SECRET1', headers: { authorization: 'SECRET2' } })
  await app.inject({ method: 'POST', url: '/echo?api_key=SECRET1', payload: '{"a":"SECRET3"' })
  await expect.poll(() => lines.length).toBe(2)
  expect(lines.join('')).not.toContain('SECRET')
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 'info', route: '/things/:name', status: 200, msg: 'request done' },
    { route: '/echo', status: 400 },
  ])
})

test('requests are measured by route template, and unknown paths and methods together', async () => {
  const { app, metrics } = build()
  await app.inject('/things/one')
  await app.inject('/things/two')
  await app.inject('/nothing/1')
  const text = async () => metrics.metrics()
  await expect
    .poll(text)
    .toContain('http_request_duration_seconds_count{method="GET",route="/things/:name",status="200"} 2')
  await expect.poll(text).toContain('http_request_duration_seconds_count{method="GET",route="none",status="404"} 1')
})

test('discovery, health, readiness and metrics answer without a key', async () => {
  const { app } = build({
    isReady: async () => ({ ready: false, problems: [{ part: 'log', code: 'LOG_UNAVAILABLE' }] }),
  })
  expect((await app.inject('/')).json()).toContainEqual({ is_public: true, url: '/3.0', version: '3.0' })
  expect((await app.inject('/3.0')).json()).toEqual({ projects_resource_url: '/3.0/projects' })
  expect((await app.inject('/healthz')).statusCode).toBe(200)
  const ready = await app.inject('/readyz')
  expect([ready.statusCode, ready.json()]).toEqual([
    503,
    { status: 'not ready', problems: [{ part: 'log', code: 'LOG_UNAVAILABLE' }] },
  ])
  expect((await app.inject('/metrics')).body).toContain('process_cpu_seconds_total')
})

test('a connection that has sent nothing does not hold up the close', async () => {
  const { app } = build()
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const since = performance.now()
  await app.close()
  expect(performance.now() - since).toBeLessThan(5_000)
  socket.destroy()
})

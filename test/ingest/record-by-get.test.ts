import { afterAll, beforeAll, expect, test } from 'vitest'
import { type IngestUnderTest, KEYS, openIngest, PROJECT } from '../support/ingest-app.ts'

let ingest: IngestUnderTest
beforeAll(async () => {
  ingest = await openIngest({ settings: { redirectHosts: ['shop.example', '*.news.example'] } })
})
afterAll(async () => ingest.close())

const get = async (query: string, headers: Record<string, string> = {}, method: 'GET' | 'HEAD' = 'GET') =>
  ingest.app.inject({ method, url: `/3.0/projects/${PROJECT}/events/opens?${query}`, headers })

// Its base64 has both characters that the alphabets differ in, and padding.
const EVENT = { a: '???>>>', user: 'zoë', n: 1 }
const BASE64 = Buffer.from(JSON.stringify(EVENT)).toString('base64')
const AUTH = `api_key=${KEYS.write}`

test('an address with an event records it and shows one pixel that nobody may cache', async () => {
  const answer = await get(`${AUTH}&data=${encodeURIComponent(BASE64)}&modified=1&c=clv1`)
  expect([answer.statusCode, answer.headers['content-type'], answer.headers['cache-control']]).toEqual([
    200,
    'image/gif',
    'no-store',
  ])
  expect(answer.rawPayload.subarray(0, 6).toString('latin1')).toBe('GIF89a')
  expect(answer.rawPayload.readUInt16LE(6)).toBe(1)
  expect((await ingest.taken()).map(({ body }) => body)).toEqual([EVENT])
})

test.each([
  ['percent-encoded', encodeURIComponent(BASE64)],
  ['as it is, its plus a space on arrival', BASE64],
  ['without padding', BASE64.replace(/=+$/, '')],
  ['in the URL alphabet', Buffer.from(JSON.stringify(EVENT)).toString('base64url')],
  ['percent-encoded twice', encodeURIComponent(encodeURIComponent(BASE64))],
])('the event may be written %s', async (_how, data) => {
  expect(BASE64).toMatch(/\+.*\/.*=$|\/.*\+.*=$/)
  expect((await get(`${AUTH}&data=${data}`)).statusCode).toBe(200)
  expect((await ingest.taken()).map(({ body }) => body)).toEqual([EVENT])
})

test('whoever asks for JSON or JSONP gets it in place of the pixel', async () => {
  const json = await get(`${AUTH}&data=e30`, { accept: 'application/json, */*' })
  expect([json.statusCode, json.json()]).toEqual([200, { created: true }])
  const jsonp = await get(`${AUTH}&data=e30&jsonp=keenJSONPCallback1a`)
  expect([jsonp.headers['content-type'], jsonp.body]).toEqual([
    'application/javascript; charset=utf-8',
    'keenJSONPCallback1a({"created":true})',
  ])
  const refused = await get(`api_key=wrong&data=e30&jsonp=fn`)
  expect([refused.statusCode, refused.body]).toEqual([200, expect.stringMatching(/^fn\(\{.*InvalidApiKeyError.*\}\)$/)])
  expect(await ingest.taken()).toHaveLength(2)
})

test.each([
  ['api_key=wrong&data=e30', 401, 'InvalidApiKeyError'],
  [`api_key=${KEYS.read}&data=e30`, 403, 'KeyNotAuthorizedError'],
  [`${AUTH}&data=`, 400, 'InvalidJSONError'],
  [`${AUTH}&data=%25%25`, 400, 'InvalidRequestError'],
  [`${AUTH}&data=a`, 400, 'InvalidRequestError'],
  [`${AUTH}&data=${Buffer.from('[1]').toString('base64url')}`, 400, 'InvalidEventError'],
  [AUTH, 404, 'ResourceNotFoundError'],
])('%s gets %i %s as JSON, and stores nothing', async (query, status, code) => {
  const answer = await get(query)
  expect([answer.statusCode, answer.json()]).toMatchObject([status, { error_code: code }])
  expect(answer.headers['access-control-allow-origin']).toBe('*')
  expect(await ingest.taken()).toEqual([])
})

test('a link records and leads on to a host that is allowed', async () => {
  for (const target of ['https://shop.example/a?b=c#d', 'http://a.b.news.example/', 'https://SHOP.example:8443/']) {
    const answer = await get(`${AUTH}&data=e30&redirect=${encodeURIComponent(target)}`)
    expect([answer.statusCode, answer.headers.location]).toEqual([302, new URL(target).href])
  }
  expect(await ingest.taken()).toHaveLength(3)
})

test('asking for the head of an address records nothing', async () => {
  expect((await get(`${AUTH}&data=e30`, {}, 'HEAD')).statusCode).toBe(200)
  const target = encodeURIComponent('https://shop.example/')
  expect((await get(`${AUTH}&data=e30&redirect=${target}`, {}, 'HEAD')).statusCode).toBe(302)
  expect(await ingest.taken()).toEqual([])
})

test('a link leads nowhere else, and records nothing then', async () => {
  for (const target of [
    'https://evil.example/',
    'https://shop.example.evil.example/',
    'https://news.example/',
    'https://shop.example@evil.example/',
    'https://user@shop.example/',
    '//shop.example/',
    '/shop.example',
    'javascript:alert(1)//shop.example',
    'ftp://shop.example/',
    '',
    'https://evil.example\\.news.example/',
  ]) {
    const answer = await get(`${AUTH}&data=e30&redirect=${encodeURIComponent(target)}`)
    expect([target, answer.statusCode, answer.headers.location]).toEqual([target, 400, undefined])
  }
  expect(await ingest.taken()).toEqual([])
})

test('a link leads on although its event is not taken, and that is counted', async () => {
  const target = encodeURIComponent('https://shop.example/')
  for (const query of [`api_key=wrong&data=e30`, `${AUTH}&data=bm8`, `${AUTH}&data=WzFd`]) {
    expect((await get(`${query}&redirect=${target}`)).headers.location).toBe('https://shop.example/')
  }
  expect(await ingest.metrics.getSingleMetricAsString('ingest_redirects_unrecorded_total')).toContain('_total 3')
  expect(await ingest.taken()).toEqual([])
})

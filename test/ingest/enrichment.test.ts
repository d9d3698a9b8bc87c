import { afterAll, beforeAll, expect, test } from 'vitest'
import { type IngestUnderTest, KEYS, openIngest, PROJECT } from '../support/ingest-app.ts'

const NOW = Date.UTC(2026, 0, 2)
const IPHONE =
  'Mozilla/5.0 (iPhone; U; CPU iPhone OS 5_1_1 like Mac OS X; en) AppleWebKit/534.46.0 (KHTML, like Gecko) CriOS/19.0.1084.60 Mobile/9B206 Safari/7534.48.3'
/** Of the network in which Google's resolvers stand. */
const ADDRESS = '8.8.8.8'
const geoOf = (ip: string, output = 'geo', more = {}) => ({ name: 'keen:ip_to_geo', input: { ip, ...more }, output })
const urlOf = (url: string, output: string) => ({ name: 'keen:url_parser', input: { url }, output })
const UNITED_STATES = { country: 'United States', country_code: 'US', city: null, coordinates: null }

let ingest: IngestUnderTest
beforeAll(async () => {
  ingest = await openIngest({
    now: () => NOW,
    trustedProxies: ['loopback'],
    autofill: {
      tenant: { id: 't1' },
      visitor: '${keen.ip}',
      keen: { addons: [geoOf('visitor', 'place', { remove_ip_property: true })] },
    },
  })
})
afterAll(async () => ingest.close())

const post = async (payload: unknown, headers: Record<string, string> = {}) =>
  ingest.app.inject({
    method: 'POST',
    url: `/3.0/projects/${PROJECT}/events/pageviews`,
    payload: JSON.stringify(payload),
    headers: { authorization: KEYS.write, 'x-forwarded-for': ADDRESS, 'user-agent': IPHONE, ...headers },
  })

const stored = async (payload: unknown, headers: Record<string, string> = {}) => {
  const answer = await post(payload, headers)
  expect([answer.statusCode, answer.body]).toEqual([201, '{"created":true}'])
  const [event] = await ingest.taken()
  return event?.body
}

const counted = async (addon: string, outcome: string): Promise<number> => {
  const metric = await ingest.metrics.getSingleMetric('ingest_enrichments_total')?.get()
  return metric?.values.find(({ labels }) => labels['addon'] === addon && labels['outcome'] === outcome)?.value ?? 0
}

test('an auto-tracked page view is stored with everything its add-ons find out, and without them', async () => {
  const body = await stored({
    tracked_by: 'keen-tracking-5.0.1',
    local_time_full: '2016-02-29T23:59:58.123-08:00',
    user: { uuid: 'u1' },
    page: { title: 'Shop', description: '', scroll_state: {}, time_on_page: 1, time_on_page_ms: 900 },
    ip_address: '${keen.ip}',
    geo: {},
    user_agent: '${keen.user_agent}',
    tech: { profile: { cookies: true } },
    url: { full: 'https://user:pw@www.shop.example/a/b?x=1&y.z=2&x=3#part%20two', info: {} },
    referrer: { initial: '', full: '', info: {} },
    time: { local: {}, utc: {} },
    keen: {
      timestamp: '2016-03-01T07:59:58.123Z',
      addons: [
        { name: 'keen:ua_parser', input: { ua_string: 'user_agent' }, output: 'tech' },
        urlOf('url.full', 'url.info'),
        urlOf('referrer.full', 'referrer.info'),
        { name: 'keen:date_time_parser', input: { date_time: 'keen.timestamp' }, output: 'time.utc' },
        { name: 'keen:date_time_parser', input: { date_time: 'local_time_full' }, output: 'time.local' },
        geoOf('ip_address', 'geo', { remove_ip_property: true }),
      ],
    },
  })
  expect(body).toMatchObject({
    user_agent: IPHONE,
    geo: UNITED_STATES,
    tech: {
      profile: { cookies: true },
      device: { family: 'iPhone', type: 'mobile phone' },
      browser: { family: 'Chrome Mobile iOS', major: '19', minor: '0', patch: '1084' },
      os: { family: 'iOS', major: '5', minor: '1', patch: '1', patch_minor: null },
    },
    url: {
      info: {
        protocol: 'https',
        domain: 'www.shop.example',
        path: '/a/b',
        anchor: 'part two',
        query_string: { x: '1' },
      },
    },
    referrer: { initial: '', full: '', info: {} },
    time: {
      utc: { year: 2016, month: 3, day: 1, day_of_week_string: 'Tuesday', hour: 7, timezone_offset: '+00:00' },
      local: {
        year: 2016,
        month: 2,
        month_string: 'February',
        day: 29,
        day_string: 'Monday',
        day_of_week: 2,
        day_of_week_string: 'Monday',
        hour: 23,
        minute: 59,
        second: 58,
        millisecond: 123,
        timezone_offset: '-08:00',
      },
    },
  })
  expect(body).not.toHaveProperty('ip_address')
  expect(body).not.toHaveProperty('keen')
  expect(body?.['url']).not.toHaveProperty('info.query_string.y.z')
  expect(await counted('keen:url_parser', 'property_dropped')).toBe(1)
  expect(await counted('keen:url_parser', 'input_missing')).toBe(1)
  expect(await counted('keen:ip_to_geo', 'added')).toBe(1)
})

test('placeholders are replaced wherever they are the whole text, and nothing else is', async () => {
  const body = await stored({ a: ['${keen.ip}'], b: { c: '${keen.user_agent}' }, d: 'x ${keen.ip}', e: '${keen.id}' })
  expect(body).toEqual({ a: [ADDRESS], b: { c: IPHONE }, d: 'x ${keen.ip}', e: '${keen.id}' })
})

test('the default time counts as there', async () => {
  const addon = { name: 'keen:date_time_parser', input: { date_time: 'keen.timestamp' }, output: 't' }
  expect(await stored({ keen: { addons: [addon] } })).toMatchObject({ t: { year: 2026, month: 1, day: 2, hour: 0 } })
})

test('what cannot be found out costs no event, and is counted by its reason', async () => {
  const before = await counted('keen:ip_to_geo', 'input_invalid')
  const event = { private: '10.1.2.3', bad: 'nowhere', number: 5, taken: 'text', ip: ADDRESS, url: 'no host' }
  const addons = [
    geoOf('private', 'a'),
    geoOf('bad', 'b', { remove_ip_property: true }),
    geoOf('number', 'c'),
    geoOf('missing', 'd'),
    geoOf('ip', 'taken'),
    urlOf('url', 'e'),
    { name: 'keen:weather', input: {}, output: 'f' },
  ]
  const { bad: _, ...rest } = event
  expect(await stored({ ...event, keen: { addons } })).toEqual(rest)
  expect(await counted('keen:ip_to_geo', 'input_invalid')).toBe(before + 1)
  expect(await counted('keen:ip_to_geo', 'not_found')).toBe(1)
  expect(await counted('keen:ip_to_geo', 'input_missing')).toBe(2)
  expect(await counted('keen:ip_to_geo', 'output_taken')).toBe(1)
  expect(await counted('keen:url_parser', 'input_invalid')).toBe(1)
  expect(await counted('unknown', 'unknown_addon')).toBe(1)
})

test('an event that add-ons would make too large is stored without them, and still without the address', async () => {
  const url = `https://x.example/?${Array.from({ length: 150 }, (_, i) => `${i}=`).join('&')}`
  const names = Object.fromEntries(Array.from({ length: 4_900 }, (_, i) => [`n${i}`, 1]))
  const addons = [urlOf('url', 'out'), geoOf('ip', 'geo', { remove_ip_property: true })]
  expect(await stored({ url, ip: ADDRESS, ...names, keen: { addons } })).toEqual({ url, ...names })
  expect(await counted('keen:url_parser', 'event_limit')).toBe(1)
})

test.each([
  ['no array', {}, `'keen.addons'`],
  ['no name', [{ input: {}, output: 'a' }], `'keen.addons.0'`],
  ['no input', [{ name: 'keen:url_parser', output: 'a' }], `'keen.addons.0'`],
  ['an output of its own', [{ name: 'keen:url_parser', input: {}, output: 'keen.x' }], `'keen.addons.0.output'`],
  ['an output with an empty name', [{ name: 'keen:url_parser', input: {}, output: 'a..b' }], `'keen.addons.0.output'`],
])('a declaration with %s is refused', async (_, addons, field) => {
  const answer = await post({ keen: { addons } })
  expect(answer.statusCode).toBe(400)
  expect(answer.json()).toMatchObject({ error_code: 'InvalidPropertyValueError' })
  expect(answer.json<{ message: string }>().message).toContain(field)
})

test('a key enriches what is written with it, and add-ons of the event leave alone what the key fills in', async () => {
  const addons = [
    geoOf('tenant.id', 'x', { remove_ip_property: true }),
    urlOf('url', 'tenant.id'),
    geoOf('visitor', 'y', { remove_ip_property: true }),
  ]
  const body = await stored({ url: 'https://a.example/', keen: { addons } }, { authorization: KEYS.autofill })
  expect(body).toMatchObject({ tenant: { id: 't1' }, place: UNITED_STATES, y: UNITED_STATES })
  expect(body).not.toHaveProperty('visitor')
})

test('a name that every object has is a name like any other', async () => {
  const body = await stored({
    __proto__x: 1,
    url: 'https://a.example/?__proto__=1&constructor=2',
    keen: { addons: [urlOf('url', '__proto__.constructor')] },
  })
  expect(Object.getPrototypeOf(body)).toBe(Object.prototype)
  expect(JSON.stringify(body)).toContain('"__proto__":{"constructor":{"protocol":"https"')
})

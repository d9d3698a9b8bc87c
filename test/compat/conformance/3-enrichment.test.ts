import { describe, expect, test } from 'vitest'
import { deployed, EVER } from './deployment.ts'

const at = deployed({ TRIBUTARY_TRUSTED_PROXIES: 'loopback' })
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 5_1_1 like Mac OS X) AppleWebKit/534.46 (KHTML, like Gecko) CriOS/19.0.1084.60 Mobile/9B206 Safari/7534.48.3'

/** Records one event and gives it back as it was stored. */
async function stored(
  collection: string,
  event: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>> {
  const { send, project, counted, ask } = at()
  const { status, text } = await send('POST', `/events/${collection}`, { key: project.write, body: event, headers })
  if (status !== 201) throw new Error(`${status} ${text}`)
  await counted(collection, 1)
  const { body } = await ask('extraction', { event_collection: collection, timeframe: EVER })
  return (body as { result: Record<string, unknown>[] }).result[0] ?? {}
}
const addon = (name: string, input: object, output: string): object => ({ name: `keen:${name}`, input, output })

describe('3.1 form', () => {
  test('3.1 ${keen.ip} and ${keen.user_agent}; addons are not stored; what is missing does no harm', async () => {
    const event = await stored(
      'placeholders',
      {
        ip: '${keen.ip}',
        agent: '${keen.user_agent}',
        other: '${keen.nothing}',
        keen: { addons: [addon('url_parser', { url: 'not.there' }, 'x')] },
      },
      { 'x-forwarded-for': '203.0.113.9', 'user-agent': IPHONE },
    )
    expect(event).toMatchObject({ ip: '203.0.113.9', agent: IPHONE, other: '${keen.nothing}' })
    expect(event['keen']).not.toHaveProperty('addons')
  })

  test('3.1 results are merged into an object that is there', async () => {
    const event = await stored('merged', {
      url: 'https://ex.com/a',
      page: { title: 'T' },
      keen: { addons: [addon('url_parser', { url: 'url' }, 'page')] },
    })
    expect(event).toMatchObject({ page: { title: 'T', domain: 'ex.com', path: '/a' } })
  })
})

describe('3.2 to 3.6 add-ons', () => {
  test('3.2 ip_to_geo, and the address removed', async () => {
    const event = await stored('geo', {
      ip: '8.8.8.8',
      keen: { addons: [addon('ip_to_geo', { ip: 'ip', remove_ip_property: true }, 'geo')] },
    })
    expect(event).toMatchObject({ geo: { country: 'United States', country_code: 'US' } })
    expect(event).not.toHaveProperty('ip')
  })

  test('3.3 ua_parser', async () => {
    const event = await stored('agent', {
      agent: IPHONE,
      keen: { addons: [addon('ua_parser', { ua_string: 'agent' }, 'tech')] },
    })
    expect(event).toMatchObject({
      tech: {
        browser: { family: 'Chrome Mobile iOS', major: '19', minor: '0' },
        os: { family: 'iOS', major: '5', minor: '1' },
        device: { family: 'iPhone' },
      },
    })
  })

  test('3.4 url_parser', async () => {
    const event = await stored('url', {
      url: 'http://my-website.com/cool/link?source=twitter&foo=bar/#title',
      keen: { addons: [addon('url_parser', { url: 'url' }, 'parsed')] },
    })
    expect(event).toMatchObject({
      parsed: { protocol: 'http', domain: 'my-website.com', path: '/cool/link', anchor: 'title' },
    })
  })

  test('3.5 referrer_parser', async () => {
    const event = await stored('referrer', {
      from: 'https://www.google.com/search?q=cups',
      page: 'https://shop.example/cups',
      keen: { addons: [addon('referrer_parser', { referrer_url: 'from', page_url: 'page' }, 'referrer')] },
    })
    expect(event).toMatchObject({ referrer: { medium: 'search', source: 'Google', term: 'cups' } })
  })

  test('3.6 date_time_parser, of keen.timestamp too', async () => {
    const event = await stored('time', {
      local: '2026-03-01T10:20:30.456-08:00',
      keen: {
        timestamp: '2026-03-01T18:20:30.456Z',
        addons: [
          addon('date_time_parser', { date_time: 'local' }, 'at'),
          addon('date_time_parser', { date_time: 'keen.timestamp' }, 'utc'),
        ],
      },
    })
    expect(event).toMatchObject({
      at: {
        year: 2026,
        month: 3,
        day: 1,
        hour: 10,
        minute: 20,
        second: 30,
        timezone_offset: '-08:00',
        day_of_week_string: 'Sunday',
      },
      utc: { hour: 18 },
    })
  })
})

import { beforeAll, describe, expect, test } from 'vitest'
import { deployed, EVER, failure } from './deployment.ts'

const at = deployed()

const on = (day: number, event: object): object => ({ ...event, keen: { timestamp: `2026-01-0${day}T12:00:00.000Z` } })
const JANUARY = { start: '2026-01-01T00:00:00Z', end: '2026-01-04T00:00:00Z' }

beforeAll(async () => {
  await at().record({
    purchases: [
      on(1, { user: { id: 'bob' }, price: 10, plan: 'pro', tags: ['a', 'b'] }),
      on(1, { user: { id: 'ted' }, price: 20, plan: 'free' }),
      on(3, { user: { id: 'bob' }, price: 'gift', plan: 'pro', tags: ['b'] }),
      on(3, { user: { id: 'ann' }, price: null }),
    ],
    empty_numbers: [on(1, { price: 'x' })],
    two: [on(1, { n: 10 }), on(1, { n: 20 })],
    signups: [on(1, { who: 'bob' }), on(1, { who: 'ted' })],
    returns: [on(2, { who: 'bob' })],
    pays: [on(2, { who: 'bob' }), on(2, { who: 'eve' })],
  })
})

const P = { event_collection: 'purchases', timeframe: JANUARY }
const result = async (analysis: string, query: object = {}): Promise<unknown> => {
  const { status, body, text } = await at().ask(analysis, { ...P, ...query })
  if (status !== 200) throw new Error(`${status} ${text}`)
  return (body as { result: unknown }).result
}

describe('4.3 analyses', () => {
  test.each([
    ['count', {}, 4],
    ['count_unique', { target_property: 'user.id' }, 3],
    ['minimum', { target_property: 'price' }, 10],
    ['maximum', { target_property: 'price' }, 20],
    ['sum', { target_property: 'price' }, 30],
    ['average', { target_property: 'price' }, 15],
    ['median', { target_property: 'price' }, 10],
    ['percentile', { target_property: 'price', percentile: 100 }, 20],
    ['standard_deviation', { target_property: 'price' }, 5],
  ])('4.3 %s', async (analysis, query, expected) => {
    const { status, body } = await at().ask(analysis, { ...P, ...query })
    expect({ status, body }).toEqual({ status: 200, body: { result: expected } })
  })

  test('4.3 select_unique', async () => {
    expect(((await result('select_unique', { target_property: 'user.id' })) as string[]).toSorted()).toEqual([
      'ann',
      'bob',
      'ted',
    ])
  })
})

describe('4.1 and 4.2 transport', () => {
  test.each([
    ['bare', 'event_collection=purchases&timeframe=this_900_years'],
    ['quoted', 'event_collection=%22purchases%22&timeframe=%22this_900_years%22'],
    ['as JSON', `event_collection=purchases&timeframe=${encodeURIComponent(JSON.stringify(JANUARY))}`],
    ['in brackets', `event_collection=purchases&timeframe[start]=${JANUARY.start}&timeframe[end]=${JANUARY.end}`],
    [
      'with what does not concern it',
      `event_collection=purchases&timeframe=this_900_years&modified=1&c=x&name=y&dataset_name=z&filters=&interval=`,
    ],
  ])('4.1 GET parameters %s', async (_name, query) => {
    const { status, body } = await at().send('GET', `/queries/count?${query}`, { key: at().project.read })
    expect({ status, body }).toEqual({ status: 200, body: { result: 4 } })
  })

  test('4.1 null and the empty string are absent; unknown fields are ignored', async () => {
    expect(
      await result('count', {
        filters: null,
        timezone: null,
        group_by: null,
        interval: null,
        limit: '',
        analysis_type: 'count',
        name: 'x',
      }),
    ).toBe(4)
  })

  test('4.2 limit needs order_by, order_by needs group_by', async () => {
    expect(await at().ask('count', { ...P, limit: 1, group_by: 'plan' })).toMatchObject({ status: 400 })
    expect(await at().ask('count', { ...P, order_by: { property_name: 'result' } })).toMatchObject({ status: 400 })
  })
})

describe('4.4 to 4.8 shapes', () => {
  const bucket = (day: number, value: unknown): object => ({
    value,
    timeframe: { start: `2026-01-0${day}T00:00:00.000Z`, end: `2026-01-0${day + 1}T00:00:00.000Z` },
  })

  test('4.5 interval: every bucket, also empty ones', async () => {
    expect(await result('count', { interval: 'daily' })).toEqual([bucket(1, 2), bucket(2, 0), bucket(3, 2)])
    expect(await result('average', { interval: 'daily', target_property: 'price' })).toEqual([
      bucket(1, 15),
      bucket(2, null),
      bucket(3, null),
    ])
  })

  test('4.6 group_by: names as asked, null for the missing', async () => {
    expect(await result('count', { group_by: 'plan' })).toEqual([
      { plan: null, result: 1 },
      { plan: 'free', result: 1 },
      { plan: 'pro', result: 2 },
    ])
    expect(await result('sum', { group_by: ['user.id', 'plan'], target_property: 'price' })).toContainEqual({
      'user.id': 'bob',
      plan: 'pro',
      result: 10,
    })
  })

  test('4.6 each element of a list is a group', async () => {
    expect(
      await result('count', {
        group_by: 'tags',
        filters: [{ property_name: 'tags', operator: 'exists', property_value: true }],
      }),
    ).toEqual([
      { tags: 'a', result: 1 },
      { tags: 'b', result: 2 },
    ])
  })

  test('4.7 group_by and interval: every group in every bucket, unless zero_fill is false', async () => {
    const filters = [{ property_name: 'plan', operator: 'exists', property_value: true }]
    const both = { interval: 'daily', group_by: 'plan', filters }
    const groups = (free: number, pro: number) => [
      { plan: 'free', result: free },
      { plan: 'pro', result: pro },
    ]
    expect(await result('count', both)).toEqual([
      bucket(1, groups(1, 1)),
      bucket(2, groups(0, 0)),
      bucket(3, groups(0, 1)),
    ])
    expect(await result('count', { ...both, zero_fill: false })).toEqual([
      bucket(1, groups(1, 1)),
      bucket(2, []),
      bucket(3, [{ plan: 'pro', result: 1 }]),
    ])
  })

  test('4.8 order_by and limit', async () => {
    const order_by = [{ property_name: 'result', direction: 'DESC' }]
    expect(await result('count', { group_by: 'plan', order_by, limit: 1 })).toEqual([{ plan: 'pro', result: 2 }])
  })

  test('4.9 group_by buckets and ranges', async () => {
    const filters = [{ property_name: 'price', operator: 'gte', property_value: 0 }]
    const groups = (await result('count', {
      filters,
      group_by: { property_name: 'price', buckets: { size: 15 } },
    })) as { result: number }[]
    expect(groups.map((group) => group.result)).toEqual([1, 1])
  })
})

describe('4.10 extraction', () => {
  test('4.10 whole events, with their keen object', async () => {
    const [event] = (await result('extraction', {
      latest: 1,
      filters: [{ property_name: 'plan', operator: 'eq', property_value: 'free' }],
    })) as Record<string, unknown>[]
    expect(event).toEqual({
      user: { id: 'ted' },
      price: 20,
      plan: 'free',
      keen: { timestamp: '2026-01-01T12:00:00.000Z', created_at: expect.stringMatching(/Z$/), id: expect.any(String) },
    })
  })

  test('4.10 only the properties asked for, nested where they were', async () => {
    const found = (await result('extraction', { property_names: ['user.id', 'plan'] })) as object[]
    expect(found).toHaveLength(4)
    expect(found).toEqual(
      expect.arrayContaining([
        { user: { id: 'bob' }, plan: 'pro' },
        { user: { id: 'ted' }, plan: 'free' },
        { user: { id: 'ann' } },
      ]),
    )
    const bare = `/queries/extraction?event_collection=two&timeframe=this_900_years&property_names=n`
    const { body } = await at().send('GET', bare, { key: at().project.read })
    expect((body as { result: { n: number }[] }).result.toSorted((a, b) => a.n - b.n)).toEqual([{ n: 10 }, { n: 20 }])
  })

  test('4.10 latest comes newest first', async () => {
    expect(await result('extraction', { latest: 2, property_names: ['keen.timestamp'] })).toEqual([
      { keen: { timestamp: '2026-01-03T12:00:00.000Z' } },
      { keen: { timestamp: '2026-01-03T12:00:00.000Z' } },
    ])
  })

  test('4.10 CSV: a header of dotted paths, one line an event', async () => {
    const { status, headers, text } = await at().ask('extraction', {
      ...P,
      content_type: 'text/csv',
      property_names: ['user.id', 'price'],
    })
    expect(status).toBe(200)
    expect(headers.get('content-type')).toContain('text/csv')
    const [header, ...lines] = text.trim().split(/\r?\n/)
    expect(header?.split(',').toSorted()).toEqual(['price', 'user.id'])
    expect(lines).toHaveLength(4)
  })

  test('4.10 JSON lines', async () => {
    const { headers, text } = await at().ask('extraction', {
      ...P,
      content_type: 'application/x-ndjson',
      property_names: ['user.id'],
    })
    expect(headers.get('content-type')).toContain('application/x-ndjson')
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toContainEqual({ user: { id: 'ann' } })
  })

  test('4.10 with email it is asynchronous, and the answer a sentence', async () => {
    const { status, body } = await at().ask('extraction', { ...P, email: 'ann@example.com' })
    expect(status).toBe(200)
    expect((body as { result: unknown }).result).toEqual(expect.stringContaining('Processing'))
  })
})

describe('4.11 funnel', () => {
  const step = (event_collection: string, more: object = {}): object => ({
    event_collection,
    actor_property: 'who',
    timeframe: JANUARY,
    ...more,
  })

  test('4.11 counts the actors that are left, and echoes the steps with their defaults', async () => {
    const { status, body } = await at().ask('funnel', {
      steps: [step('signups', { with_actors: true }), step('pays'), step('returns')],
    })
    expect(status).toBe(200)
    const { result, actors, steps } = body as { result: unknown; actors: unknown[][]; steps: object[] }
    expect(result).toEqual([2, 1, 1])
    expect(actors).toEqual([expect.arrayContaining(['bob', 'ted']), null, null])
    expect(steps[1]).toEqual({
      event_collection: 'pays',
      actor_property: 'who',
      timeframe: JANUARY,
      timezone: null,
      filters: [],
      inverted: false,
      optional: false,
      with_actors: false,
    })
  })

  test('4.11 no actors without with_actors; inverted, optional', async () => {
    const { body } = await at().ask('funnel', {
      steps: [step('signups'), step('pays', { inverted: true }), step('returns', { optional: true })],
    })
    expect(body).toMatchObject({ result: [2, 1, 0] })
    expect(body).not.toHaveProperty('actors')
    const optional = await at().ask('funnel', {
      steps: [step('signups'), step('pays', { optional: true }), step('returns')],
    })
    expect(optional.body).toMatchObject({ result: [2, 1, 1] })
  })

  test('4.11 the order in time does not matter, unless `ordered` asks for it', async () => {
    const steps = [step('pays'), step('signups')]
    expect((await at().ask('funnel', { steps })).body).toMatchObject({ result: [2, 1] })
    expect((await at().ask('funnel', { steps, ordered: true })).body).toMatchObject({ result: [2, 0] })
  })

  test('4.11 a timeframe at the root serves all steps; GET works as well', async () => {
    const steps = [
      { event_collection: 'signups', actor_property: 'who' },
      { event_collection: 'returns', actor_property: 'who' },
    ]
    expect((await at().ask('funnel', { timeframe: JANUARY, steps })).body).toMatchObject({ result: [2, 1] })
    const query = `timeframe=this_900_years&steps=${encodeURIComponent(JSON.stringify(steps))}`
    expect((await at().send('GET', `/queries/funnel?${query}`, { key: at().project.read })).body).toMatchObject({
      result: [2, 1],
    })
  })

  test.each([
    ['steps', {}],
    ['actor_property', { steps: [{ event_collection: 'signups', timeframe: JANUARY }] }],
    ['timeframe', { steps: [{ event_collection: 'signups', actor_property: 'who' }] }],
    [
      'inverted',
      { steps: [{ event_collection: 'signups', actor_property: 'who', timeframe: JANUARY, inverted: true }] },
    ],
  ])('4.11 refuses a funnel without sense in %s', async (names, query) => {
    const { status, body } = await at().ask('funnel', query)
    expect(status).toBe(400)
    expect((body as { message: string }).message).toContain(names)
  })
})

describe('4.12 multi_analysis', () => {
  const analyses = {
    buyers: { analysis_type: 'count_unique', target_property: 'user.id' },
    total: { analysis_type: 'sum', target_property: 'price', filters: null },
  }

  test('4.12 plain', async () => {
    expect(await result('multi_analysis', { analyses })).toEqual({ buyers: 3, total: 30 })
  })

  test('4.12 grouped, ordered by a label', async () => {
    expect(
      await result('multi_analysis', {
        analyses,
        group_by: 'plan',
        order_by: { property_name: 'total', direction: 'DESC' },
      }),
    ).toEqual([
      { plan: 'free', buyers: 1, total: 20 },
      { plan: 'pro', buyers: 1, total: 10 },
      { plan: null, buyers: 1, total: 0 },
    ])
  })

  test('4.12 by interval, and both', async () => {
    const byDay = (await result('multi_analysis', { analyses, interval: 'daily' })) as { value: unknown }[]
    expect(byDay.map(({ value }) => value)).toEqual([
      { buyers: 2, total: 30 },
      { buyers: 0, total: 0 },
      { buyers: 2, total: 0 },
    ])
    const both = (await result('multi_analysis', { analyses, interval: 'daily', group_by: 'plan' })) as {
      value: unknown[]
    }[]
    expect(both[0]?.value).toContainEqual({ plan: 'pro', buyers: 1, total: 10 })
  })

  test('4.12 no funnel, no extraction inside, and the timeframe stands outside', async () => {
    for (const analysis_type of ['funnel', 'extraction', 'multi_analysis']) {
      expect(await at().ask('multi_analysis', { ...P, analyses: { a: { analysis_type } } })).toMatchObject({
        status: 400,
      })
    }
    const { body } = await at().ask('multi_analysis', {
      event_collection: 'purchases',
      analyses: { a: { analysis_type: 'count', timeframe: JANUARY } },
    })
    expect(body).toEqual(failure('MissingRequiredRequestFieldError'))
  })
})

describe('4.13 to 4.15', () => {
  test('4.13 the list of queries', async () => {
    const { status, body } = await at().send('GET', '/queries', { key: at().project.read })
    expect(status).toBe(200)
    const url = (name: string): string => `/3.0/projects/${at().project.id}/queries/${name}`
    expect(body).toMatchObject({
      count_url: url('count'),
      minimum: url('minimum'),
      select_unique_url: url('select_unique'),
      extraction_url: url('extraction'),
      funnel_url: url('funnel'),
      count_unique_url: url('count_unique'),
    })
  })

  test('4.14 nothing to compute with', async () => {
    const over = { event_collection: 'empty_numbers', target_property: 'price' }
    for (const analysis of ['minimum', 'maximum', 'average', 'median']) expect(await result(analysis, over)).toBeNull()
    expect(await result('sum', over)).toBe(0)
    expect(await result('count_unique', { target_property: 'nowhere' })).toBe(0)
    expect(await result('select_unique', { target_property: 'nowhere' })).toEqual([])
  })

  test('4.15 execution_metadata when asked for', async () => {
    const { body } = await at().ask('sum', { ...P, target_property: 'price', include_metadata: true })
    expect(body).toEqual({
      result: 30,
      execution_metadata: {
        events_scanned: expect.any(Number),
        properties_per_event: 1,
        total_properties_scanned: expect.any(Number),
        total_processing_time: expect.any(Number),
      },
    })
  })
})

describe('12.1 vectors', () => {
  test('12.1 the median of 10 and 20 is 10, their 100th percentile 20', async () => {
    const two = { event_collection: 'two', target_property: 'n' }
    expect(await result('median', two)).toBe(10)
    expect(await result('percentile', { ...two, percentile: 100 })).toBe(20)
  })

  test('12.1 or: the union, each event once', async () => {
    const is = (property_name: string, property_value: unknown): object => ({
      property_name,
      operator: 'eq',
      property_value,
    })
    expect(
      await result('count', { filters: [{ operator: 'or', operands: [is('plan', 'pro'), is('user.id', 'bob')] }] }),
    ).toBe(2)
  })

  test('12.1 within together with group_by', async () => {
    const filters = [
      {
        property_name: 'keen.location.coordinates',
        operator: 'within',
        property_value: { coordinates: [0, 0], max_distance_miles: 1 },
      },
    ]
    expect(await at().ask('count', { ...P, filters, group_by: 'plan' })).toMatchObject({ status: 400 })
  })

  test('5.7 time zones and relative timeframes', async () => {
    for (const timezone of ['US/Pacific', -28_800, '19800', 'Asia/Tokyo']) {
      const { status } = await at().ask('count', {
        event_collection: 'two',
        timeframe: 'this_2_days',
        interval: 'daily',
        timezone,
      })
      expect({ timezone, status }).toEqual({ timezone, status: 200 })
    }
    expect(await result('count', { timeframe: EVER })).toBe(4)
  })
})

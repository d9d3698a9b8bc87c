import { beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../support/processes.ts'
import { deployed, failure } from './deployment.ts'

const at = deployed()

const QUERY = {
  analysis_type: 'count',
  event_collection: 'visits',
  timeframe: 'this_5_years',
  filters: [],
  group_by: null,
  interval: null,
  timezone: null,
}
const master = (body?: unknown) => ({ key: at().project.master, ...(body !== undefined && { body }) })
const read = () => ({ key: at().project.read })

beforeAll(async () => {
  await at().record({
    visits: [
      { page: '/', who: 'bob' },
      { page: '/', who: 'ted' },
      { page: '/price', who: 'bob' },
    ],
  })
})

describe('6.1 saved queries', () => {
  const body = {
    refresh_rate: 0,
    query: QUERY,
    metadata: { display_name: 'Visits', visualization: { chart_type: 'metric' } },
  }

  test('6.1 PUT makes it, then replaces it whole', async () => {
    const { send } = at()
    const made = await send('PUT', '/queries/saved/visits', master(body))
    expect(made.status).toBe(201)
    expect(made.body).toMatchObject({
      query_name: 'visits',
      refresh_rate: 0,
      query: { analysis_type: 'count', event_collection: 'visits', group_by: null },
      metadata: body.metadata,
      run_information: null,
      urls: {
        cached_query_url: `/3.0/projects/${at().project.id}/queries/saved/visits`,
        cached_query_results_url: `/3.0/projects/${at().project.id}/queries/saved/visits/result`,
      },
    })
    for (const field of ['created_date', 'last_modified_date', 'user_last_modified_date']) {
      expect((made.body as Record<string, string>)[field]).toMatch(
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}(Z|\+00:00)$/,
      )
    }
    // As the Ruby and Python clients do it: everything they read, sent back.
    const again = await send('PUT', '/queries/saved/visits', master(made.body))
    expect(again.status).toBe(200)
    expect(again.body).toMatchObject({ query_name: 'visits', query: { event_collection: 'visits' } })
  })

  test('6.1 its result comes with the definition', async () => {
    const { status, body } = await at().send('GET', '/queries/saved/visits/result', read())
    expect(status).toBe(200)
    expect(body).toMatchObject({ query_name: 'visits', query: { analysis_type: 'count', group_by: null }, result: 3 })
  })

  test('0.3 group_by is a list when it is read, and the result of a funnel an object', async () => {
    const { send } = at()
    await send('PUT', '/queries/saved/grouped', master({ refresh_rate: 0, query: { ...QUERY, group_by: 'page' } }))
    const grouped = await send('GET', '/queries/saved/grouped/result', read())
    expect(grouped.body).toMatchObject({
      query: { group_by: ['page'] },
      result: [
        { page: '/', result: 2 },
        { page: '/price', result: 1 },
      ],
    })
    const steps = [{ event_collection: 'visits', actor_property: 'who', timeframe: 'this_5_years' }]
    await send('PUT', '/queries/saved/funnel', master({ refresh_rate: 0, query: { analysis_type: 'funnel', steps } }))
    const funnel = await send('GET', '/queries/saved/funnel/result', read())
    expect(funnel.body).toMatchObject({ result: { result: [2], steps: [{ event_collection: 'visits' }] } })
  })

  test('6.1 the list is an array, for the master key alone', async () => {
    const { status, body } = await at().send('GET', '/queries/saved', master())
    expect(status).toBe(200)
    expect((body as { query_name: string }[]).map((query) => query.query_name)).toEqual(
      expect.arrayContaining(['visits', 'grouped']),
    )
    expect(await at().send('GET', '/queries/saved', read())).toMatchObject({
      status: 401,
      body: failure('AdminOnlyEndpointError'),
    })
  })

  test('6.1 query_name renames, DELETE deletes', async () => {
    const { send } = at()
    await send('PUT', '/queries/saved/first', master(body))
    const renamed = await send('PUT', '/queries/saved/first', master({ ...body, query_name: 'second' }))
    expect(renamed.body).toMatchObject({ query_name: 'second' })
    expect((await send('GET', '/queries/saved/first', master())).status).toBe(404)
    const gone = await send('DELETE', '/queries/saved/second', master())
    expect({ status: gone.status, text: gone.text }).toEqual({ status: 204, text: '' })
    expect((await send('GET', '/queries/saved/second', master())).status).toBe(404)
  })

  test('6.1 a cached query is computed and kept; at once on the first question', async () => {
    const { send } = at()
    const made = await send('PUT', '/queries/saved/cached', master({ ...body, refresh_rate: 14_400 }))
    expect(made.status).toBe(201)
    const first = await send('GET', '/queries/saved/cached/result', read())
    expect(first.body).toMatchObject({ refresh_rate: 14_400, result: 3 })
    await eventually('it was run', async () => {
      const { body } = await send('GET', '/queries/saved/cached', master())
      return (body as { run_information: object | null }).run_information !== null
    })
  })

  test.each([
    ['InvalidQueryNameError', 'a%20b', {}],
    ['InvalidRefreshRateError', 'rate', { refresh_rate: 5 }],
    ['InvalidTimeframeError', 'timeframe', { query: { ...QUERY, timeframe: 'soon' } }],
  ])('6.1 %s', async (code, name, more) => {
    const { status, body: answer } = await at().send('PUT', `/queries/saved/${name}`, master({ ...body, ...more }))
    expect({ status, answer }).toEqual({ status: 400, answer: failure(code) })
  })
})

describe('6.2 datasets', () => {
  const definition = {
    display_name: 'Visits by page',
    index_by: 'page',
    query: { analysis_type: 'count', event_collection: 'visits', timeframe: 'this_3_days', interval: 'daily' },
  }

  test('6.2 PUT makes it; index_by and group_by are arrays in replies', async () => {
    const { status, body } = await at().send('PUT', '/datasets/by-page', master(definition))
    expect(status).toBe(201)
    expect(body).toMatchObject({
      project_id: at().project.id,
      dataset_name: 'by-page',
      display_name: 'Visits by page',
      index_by: ['page'],
      query: { analysis_type: 'count', interval: 'daily', timeframe: 'this_3_days' },
      status: expect.any(String),
    })
  })

  test('6.2 results by index value', async () => {
    const path = `/datasets/by-page/results?index_by=${encodeURIComponent('/')}&timeframe=this_3_days`
    const found = await eventually(
      'the dataset is there',
      async () => {
        const { status, body } = await at().send('GET', path, read())
        const values = status === 200 ? (body as { result: { value: unknown }[] }).result.map(({ value }) => value) : []
        return values.at(-1) === 2 ? { values, body } : undefined
      },
      60_000,
    )
    expect(found.values).toEqual([0, 0, 2])
    expect(found.body).toMatchObject({
      metadata: {
        dataset: { dataset_name: 'by-page' },
        request: { index_by: { page: '/' }, timeframe: 'this_3_days' },
      },
    })
    const unknown = await at().send('GET', '/datasets/by-page/results?index_by=nowhere&timeframe=this_3_days', read())
    expect((unknown.body as { result: { value: unknown }[] }).result.map(({ value }) => value)).toEqual([0, 0, 0])
  })

  test('6.2 the list is in pages', async () => {
    for (const name of ['a-first', 'z-last']) await at().send('PUT', `/datasets/${name}`, master(definition))
    const first = (await at().send('GET', '/datasets?limit=2', read())).body as {
      datasets: { dataset_name: string }[]
      next_page_url: string
      count: number
    }
    expect(first).toMatchObject({ datasets: [{ dataset_name: 'a-first' }, { dataset_name: 'by-page' }], count: 3 })
    const { pathname, search } = new URL(first.next_page_url)
    expect((await at().sendTo('GET', pathname + search, read())).body).toMatchObject({
      datasets: [{ dataset_name: 'z-last' }],
      next_page_url: null,
      count: 3,
    })
  })

  test('6.2 DELETE', async () => {
    expect((await at().send('DELETE', '/datasets/z-last', master())).status).toBe(204)
    expect((await at().send('GET', '/datasets/z-last', read())).status).toBe(404)
  })

  test.each([
    ['interval', { query: { ...definition.query, interval: undefined } }],
    ['timeframe', { query: { ...definition.query, timeframe: undefined } }],
    ['index_by', { index_by: [] }],
    ['index_by', { index_by: ['a', 'b', 'c', 'd'] }],
    ['analysis_type', { query: { ...definition.query, analysis_type: 'funnel' } }],
  ])('6.2 refuses a definition with a wrong %s', async (names, more) => {
    const { status, body } = await at().send('PUT', '/datasets/wrong', master({ ...definition, ...more }))
    expect(status).toBe(400)
    expect((body as { message: string }).message).toContain(names)
  })
})

describe('6.3 plan usage', () => {
  test('6.3 organization-usage', async () => {
    const { status, body } = await at().send('GET', '/organization-usage', master())
    expect(status).toBe(200)
    expect(body).toMatchObject({ cached_queries: { limited: false, limit: 0, current_usage: expect.any(Number) } })
  })
})

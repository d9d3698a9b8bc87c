import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../support/processes.ts'
import { hexId, store } from '../stored-events.ts'
import { openSavedQueries, START } from './support.ts'

let at: Awaited<ReturnType<typeof openSavedQueries>>
let events = 0

async function record(user: string): Promise<void> {
  const body = JSON.stringify({ user, page: '/' })
  const event = { project: at.projectId, collection: 'visits', timestampMs: START - 60_000, createdAtMs: START, body }
  await store(at.warehouse, [{ ...event, id: hexId(events++) }])
}

beforeAll(async () => {
  at = await openSavedQueries({ queriesMax: 20, resultBytesMax: 2_000 })
  for (const user of ['bob', 'ted', 'ted']) await record(user)
  const TED = [{ property_name: 'user', operator: 'eq', property_value: 'ted' }]
  at.addKey('NARROW', 'access', ['saved_queries', 'cached_queries'], { saved_queries: { filters: TED } })
  at.addKey('AD_HOC_NARROW', 'access', ['queries', 'saved_queries', 'cached_queries'], { queries: { filters: TED } })
  at.addKey('DEFINITIONS', 'access', ['query_definition'])
})
afterAll(async () => at.close())

const COUNT = { analysis_type: 'count', event_collection: 'visits', timeframe: 'this_2_days' }
const put = async (name: string, body: object) => at.send('PUT', `/queries/saved/${name}`, 'MASTER', body)
const result = async (name: string, key = 'READ') => at.send('GET', `/queries/saved/${name}/result`, key)

describe('definitions', () => {
  test('PUT answers with every field that clients read', async () => {
    const metadata = { displayName: 'x', list: [], nested: { a: null } }
    const { status, body } = await put('shape', { query: { ...COUNT, group_by: 'page', api_key: 'SECRET' }, metadata })
    expect(status).toBe(201)
    const date = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/) as string
    expect(body).toEqual({
      query_name: 'shape',
      refresh_rate: 0,
      query: {
        ...COUNT,
        timezone: null,
        filters: null,
        interval: null,
        group_by: ['page'],
        order_by: null,
        limit: null,
      },
      metadata,
      created_date: date,
      last_modified_date: date,
      user_last_modified_date: date,
      run_information: null,
      urls: {
        cached_query_url: `/3.0/projects/${at.projectId}/queries/saved/shape`,
        cached_query_results_url: `/3.0/projects/${at.projectId}/queries/saved/shape/result`,
      },
    })
  })

  test('what was read can be sent back, and replaces all', async () => {
    const first = await put('trip', { query: COUNT, refresh_rate: 86_400, metadata: { a: 1 } })
    const again = await put('trip', first.body as object)
    expect(again.status).toBe(200)
    expect(again.body).toMatchObject({ refresh_rate: 86_400, metadata: { a: 1 }, query: { group_by: null } })
    const bare = await put('trip', { query: { ...COUNT, group_by: null, interval: null } })
    expect(bare.body).toMatchObject({ refresh_rate: 0, metadata: null })
    expect((bare.body as { created_date: string }).created_date).toBe(
      (first.body as { created_date: string }).created_date,
    )
  })

  test('query_name renames, and does not write over another one', async () => {
    const { body } = await put('old', { query: COUNT })
    await put('taken', { query: COUNT })
    expect(await put('old', { query: COUNT, query_name: 'taken' })).toMatchObject({
      status: 400,
      body: { error_code: 'InvalidQueryNameError' },
    })
    const renamed = await put('old', { query: COUNT, query_name: 'new' })
    expect(renamed).toMatchObject({ status: 200, body: { query_name: 'new' } })
    expect((renamed.body as { created_date: string }).created_date).toBe(
      (body as { created_date: string }).created_date,
    )
    expect((await at.send('GET', '/queries/saved/old', 'MASTER')).status).toBe(404)
    expect((await at.send('DELETE', '/queries/cached/new', 'MASTER')).status).toBe(204)
    expect((await at.send('GET', '/queries/saved/new', 'MASTER')).status).toBe(404)
  })

  test('the list is an array by name, also under /queries/cached; HEAD answers without a body', async () => {
    const { body } = await at.send('GET', '/queries/saved', 'MASTER')
    const names = (body as { query_name: string }[]).map((query) => query.query_name)
    expect(names).toEqual(names.toSorted())
    expect(names).toContain('shape')
    expect((await at.send('GET', '/queries/cached', 'MASTER')).body).toEqual(body)
    const head = await at.send('HEAD', '/queries/saved/shape', 'MASTER')
    expect({ status: head.status, text: head.response.payload }).toEqual({ status: 200, text: '' })
  })

  test.each<[string, string, object]>([
    ['query', 'MissingRequiredRequestFieldError', {}],
    ['query', 'InvalidRequestFieldError', { query: [] }],
    ['query.analysis_type', 'MissingRequiredRequestFieldError', { query: { event_collection: 'c' } }],
    ['query.analysis_type', 'InvalidRequestFieldError', { query: { ...COUNT, analysis_type: 'guess' } }],
    ['event_collection', 'MissingRequiredRequestFieldError', { query: { ...COUNT, event_collection: null } }],
    ['timeframe', 'InvalidTimeframeError', { query: { ...COUNT, timeframe: 'soon' } }],
    ['filters', 'InvalidFilterError', { query: { ...COUNT, filters: {} } }],
    ['query', 'InvalidRequestFieldError', { query: { ...COUNT, more: 'x'.repeat(70_000) } }],
    ['metadata', 'InvalidRequestFieldError', { query: COUNT, metadata: 'x'.repeat(140_000) }],
    ['refresh_rate', 'InvalidRefreshRateError', { query: COUNT, refresh_rate: 14_399 }],
    ['refresh_rate', 'InvalidRefreshRateError', { query: COUNT, refresh_rate: 86_401 }],
    ['refresh_rate', 'InvalidRefreshRateError', { query: COUNT, refresh_rate: 'often' }],
    ['query_name', 'InvalidQueryNameError', { query: COUNT, query_name: 'a b' }],
    ['query_name', 'InvalidQueryNameError', { query: COUNT, query_name: 7 }],
  ])('a wrong %s is refused by name: %s', async (field, code, body) => {
    const answer = await put('wrong', body)
    expect(answer).toMatchObject({ status: 400, body: { error_code: code } })
    expect((answer.body as { message: string }).message).toContain(field)
  })

  test('a name in the path too', async () => {
    const answer = await at.send('PUT', '/queries/saved/a%20b', 'MASTER', { query: COUNT })
    expect(answer).toMatchObject({ status: 400, body: { error_code: 'InvalidQueryNameError' } })
    expect((await at.send('GET', '/queries/saved/a%20b', 'MASTER')).status).toBe(404)
  })

  test('a project has only so many', async () => {
    for (let n = 0; n < 20; n++) await put(`many-${n}`, { query: COUNT })
    expect(await put('one-more', { query: COUNT })).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('20 saved queries') as string },
    })
    for (let n = 0; n < 20; n++) await at.send('DELETE', `/queries/saved/many-${n}`, 'MASTER')
  })

  test('lesser keys are told that it is the master’s', async () => {
    const refused = { status: 401, body: { error_code: 'AdminOnlyEndpointError' } }
    expect(await at.send('GET', '/queries/saved', 'READ')).toMatchObject(refused)
    expect(await at.send('PUT', '/queries/saved/x', 'NARROW', { query: COUNT })).toMatchObject(refused)
    expect(await at.send('DELETE', '/queries/saved/shape', 'DEFINITIONS')).toMatchObject(refused)
    expect((await at.send('GET', '/queries/saved/shape', 'DEFINITIONS')).status).toBe(200)
    expect(await result('shape', 'WRITE')).toMatchObject({ status: 403, body: { error_code: 'KeyNotAuthorizedError' } })
    expect((await result('shape', 'NOBODY')).status).toBe(401)
  })
})

describe('results', () => {
  test('a plain one is run when it is asked for, under the key’s rows', async () => {
    await put('plain', { query: { ...COUNT, include_metadata: true } })
    const { status, body, response } = await result('plain')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      query_name: 'plain',
      query: COUNT,
      result: 3,
      execution_metadata: { properties_per_event: expect.any(Number) as number },
    })
    expect(response.headers['age']).toBeUndefined()
    expect((await result('plain', 'NARROW')).body).toMatchObject({ result: 2 })
    expect((await result('plain', 'AD_HOC_NARROW')).body).toMatchObject({ result: 2 })
    const { response: script } = await at.send('GET', '/queries/saved/plain/result?jsonp=f', 'READ')
    expect(script.payload).toMatch(/^f\(\{"query_name":"plain".*"result":3/)
  })

  test('0.3 the result of a funnel is an object, that of several analyses too', async () => {
    const steps = [{ event_collection: 'visits', actor_property: 'user', timeframe: 'this_2_days' }]
    await put('funnel', { query: { analysis_type: 'funnel', steps } })
    expect((await result('funnel')).body).toMatchObject({ result: { result: [2], steps: [steps[0]] } })
    expect((await result('funnel', 'NARROW')).body).toMatchObject({ result: { result: [1] } })
    const analyses = {
      all: { analysis_type: 'count' },
      who: { analysis_type: 'count_unique', target_property: 'user' },
    }
    await put('several', { query: { ...COUNT, analysis_type: 'multi_analysis', analyses } })
    expect((await result('several')).body).toMatchObject({
      result: { all: 3, who: 2 },
      query: { analyses, group_by: null },
    })
    expect((await result('several', 'NARROW')).body).toMatchObject({ result: { all: 2, who: 1 } })
  })

  test('a plain one of a collection that never had an event is 404', async () => {
    await put('empty', { query: { ...COUNT, event_collection: 'nothing' } })
    expect((await result('empty')).status).toBe(404)
    expect((await result('not-there')).status).toBe(404)
  })

  test('a cached one is computed for its caller until it has run, then stays as it was, shown with its age', async () => {
    await put('cached', { query: COUNT, refresh_rate: 14_400 })
    expect((await result('cached')).body).toMatchObject({ result: 3, run_information: null })
    at.work()
    await eventually('it has run', async () => {
      const { body } = await at.send('GET', '/queries/saved/cached', 'MASTER')
      return (body as { run_information: object | null }).run_information !== null
    })
    await record('ann')
    at.clock.ms += 60_000
    const { body, response } = await result('cached')
    expect(body).toMatchObject({
      result: 3,
      run_information: {
        last_run_status: 'success',
        last_run_message: null,
        last_run_date: expect.any(String) as string,
      },
    })
    expect(Number(response.headers['age'])).toBe(60)
    expect((await result('plain')).body).toMatchObject({ result: 4 })
    expect((body as { run_information: { last_run_duration: number } }).run_information.last_run_duration).toBeLessThan(
      60,
    )
    expect((await at.send('GET', '/queries/saved', 'MASTER')).body).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ query_name: 'cached', run_information: expect.any(Object) as object }),
      ]),
    )
  })

  test('a key that sees fewer rows never gets the stored result', async () => {
    for (const key of ['NARROW', 'AD_HOC_NARROW']) {
      const { body, response } = await result('cached', key)
      expect(body).toMatchObject({ result: 2 })
      expect(response.headers['age']).toBeUndefined()
    }
  })

  test('another definition counts at once, and what the old one left is removed', async () => {
    await put('cached', {
      query: { ...COUNT, analysis_type: 'count_unique', target_property: 'user' },
      refresh_rate: 14_400,
    })
    expect((await result('cached')).body).toMatchObject({ result: 3 })
    await record('eve')
    expect((await result('cached')).body).toMatchObject({ query: { target_property: 'user' } })
    await eventually('only the new version is stored', async () => (await versions('cached')) === 1)
  })

  test('a deletion in its collection makes a stored result nobody’s', async () => {
    await eventually('it is stored', async () => (await result('cached')).response.headers['age'] !== undefined)
    const before = await versionOf('cached')
    await at.registry.definitions.put('deletion', at.projectId, 'elsewhere', { collection: 'other' })
    expect((await result('cached')).response.headers['age']).toBeDefined()
    await at.registry.definitions.put('deletion', at.projectId, 'here', { collection: 'visits' })
    expect((await result('cached')).response.headers['age']).toBeUndefined()
    await eventually('it is computed anew', async () => (await result('cached')).response.headers['age'] !== undefined)
    await eventually('the old one is removed', async () => (await versions('cached')) === 1)
    expect(await versionOf('cached')).not.toBe(before)
  })

  test('what was stored before goes also when the first run after it fails', async () => {
    await put('gone', { query: COUNT, refresh_rate: 14_400 })
    await eventually('it is stored', async () => (await result('gone')).response.headers['age'] !== undefined)
    const before = await versionOf('gone')
    await put('gone', { query: { ...COUNT, event_collection: 'nothing' }, refresh_rate: 14_400 })
    await eventually('the old one is removed', async () => ![undefined, before].includes(await versionOf('gone')))
    await eventually('nothing else is left', async () => (await versions('gone')) === 1)
    expect((await result('gone')).status).toBe(404)
    await at.send('DELETE', '/queries/saved/gone', 'MASTER')
  })

  test('a run that fails keeps the last good result, says why, and is tried again later', async () => {
    await put('growing', {
      query: { ...COUNT, analysis_type: 'extraction', property_names: ['user'] },
      refresh_rate: 14_400,
    })
    await eventually('it has run', async () => (await result('growing')).response.headers['age'] !== undefined)
    const good = (await result('growing')).body as { result: object[] }
    for (let n = 0; n < 60; n++) await record(`somebody with a long name, number ${n}`)
    at.clock.ms += 14_400_000
    const failed = await eventually('it has failed', async () => {
      const { body } = await result('growing')
      const { run_information: run } = body as {
        run_information: { last_run_status: string; last_run_message: string }
      }
      return run.last_run_status === 'failed' ? { body, run } : undefined
    })
    expect(failed.run.last_run_message).toContain('2000')
    expect((failed.body as { result: object[] }).result).toEqual(good.result)
    expect(await at.metric('cached_query_runs_total')).toContain('outcome="failed"} 2')
  })

  test('deleted, it leaves nothing', async () => {
    expect((await at.send('DELETE', '/queries/saved/growing', 'MASTER')).status).toBe(204)
    expect(await versions('growing')).toBe(0)
  })
})

async function runsOf(name: string): Promise<readonly (readonly unknown[])[]> {
  const { rows } = await at.warehouse.read({
    sql: 'SELECT DISTINCT version FROM cached_query_runs WHERE name = {name:String}',
    params: { name },
    limits: { executionS: 10, rowsToRead: 1e6, memoryBytes: 1e9, resultRows: 1e6, resultBytes: 1e8 },
    queryId: crypto.randomUUID(),
    signal: new AbortController().signal,
  })
  return rows
}
const versions = async (name: string): Promise<number> => (await runsOf(name)).length
const versionOf = async (name: string): Promise<unknown> => (await runsOf(name))[0]?.[0]

import { createCipheriv, randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { deployed, EVER, failure } from './deployment.ts'

const at = deployed()
const ONLY_ANN = [{ property_name: 'who', operator: 'eq', property_value: 'ann' }]

beforeAll(async () => {
  await at().record({
    visits: [
      { who: 'ann', n: 1 },
      { who: 'bob', n: 2 },
      { who: 'bob', n: 3 },
    ],
  })
})
const COUNT = { event_collection: 'visits', timeframe: EVER }

describe('7.1 to 7.3 keys', () => {
  test('7.1 made, read, replaced, revoked, unrevoked, deleted', async () => {
    const { send, project } = at()
    const M = { key: project.master }
    const made = await send('POST', '/keys', {
      ...M,
      body: { name: 'Bob_Key', is_active: true, permitted: ['queries'], options: { queries: { filters: ONLY_ANN } } },
    })
    expect(made).toMatchObject({
      status: 201,
      body: {
        name: 'Bob_Key',
        is_active: true,
        permitted: ['queries'],
        project_id: project.id,
        options: {
          queries: { filters: ONLY_ANN },
          writes: null,
          saved_queries: null,
          cached_queries: null,
          datasets: null,
        },
      },
    })
    const { key } = made.body as { key: string }
    expect(key).toMatch(/^[0-9A-F]{64}$/)
    expect((await send('GET', '/keys', M)).body).toContainEqual(made.body)
    expect((await send('GET', `/keys/${key}`, M)).body).toEqual(made.body)
    expect(await send('POST', `/keys/${key}/revoke`, { ...M, body: '""' })).toMatchObject({
      status: 200,
      body: { is_active: false },
    })
    expect((await at().ask('count', COUNT, key)).body).toEqual(failure('InvalidApiKeyError'))
    expect(await send('POST', `/keys/${key}/unrevoke`, { ...M, body: '""' })).toMatchObject({
      status: 200,
      body: { is_active: true },
    })
    expect((await at().ask('count', COUNT, key)).body).toEqual({ result: 1 })
    const replaced = await send('POST', `/keys/${key}`, {
      ...M,
      body: { name: 'other', is_active: true, permitted: [], options: {} },
    })
    expect(replaced).toMatchObject({ status: 200, body: { name: 'other', permitted: [] } })
    expect((await send('DELETE', `/keys/${key}`, M)).status).toBe(204)
    expect((await send('GET', `/keys/${key}`, M)).status).toBe(404)
  })

  test('7.3 a permission that there is not', async () => {
    const { send, project } = at()
    expect(
      (await send('POST', '/keys', { key: project.master, body: { name: 'x', permitted: ['reads'] } })).status,
    ).toBe(400)
  })
})

describe('7.4 and 7.5 options', () => {
  test('7.4 queries.filters are added to every query', async () => {
    const key = await at().accessKey({ permitted: ['queries'], options: { queries: { filters: ONLY_ANN } } })
    expect((await at().ask('sum', { ...COUNT, target_property: 'n' }, key)).body).toEqual({ result: 1 })
    expect((await at().ask('select_unique', { ...COUNT, target_property: 'who' }, key)).body).toEqual({
      result: ['ann'],
    })
    const funnel = { timeframe: EVER, steps: [{ event_collection: 'visits', actor_property: 'who' }] }
    expect((await at().ask('funnel', funnel, key)).body).toMatchObject({ result: [1] })
    const multi = { ...COUNT, analyses: { all: { analysis_type: 'count' } } }
    expect((await at().ask('multi_analysis', multi, key)).body).toEqual({ result: { all: 1 } })
    expect((await at().ask('extraction', { ...COUNT, property_names: ['n'] }, key)).body).toEqual({
      result: [{ n: 1 }],
    })
  })

  test('7.4 writes.autofill overwrites what the producer sent', async () => {
    const { send, counted, ask } = at()
    const key = await at().accessKey({
      permitted: ['writes'],
      options: { writes: { autofill: { customer: { id: 'c1' } } } },
    })
    await send('POST', '/events/filled', { key, body: { customer: { id: 'forged', name: 'n' } } })
    await counted('filled', 1)
    const { body } = await ask('extraction', {
      event_collection: 'filled',
      timeframe: EVER,
      property_names: ['customer'],
    })
    expect(body).toEqual({ result: [{ customer: { id: 'c1', name: 'n' } }] })
  })

  test('7.4 saved queries: allowed, blocked, filters', async () => {
    const { send, project } = at()
    const query = { analysis_type: 'count', ...COUNT }
    for (const name of ['one', 'two'])
      await send('PUT', `/queries/saved/${name}`, { key: project.master, body: { query, refresh_rate: 0 } })
    const run = async (name: string, key: string) => send('GET', `/queries/saved/${name}/result`, { key })
    const some = await at().accessKey({
      permitted: ['saved_queries'],
      options: { saved_queries: { allowed: ['one', 'two'], blocked: ['two'], filters: ONLY_ANN } },
    })
    expect(await run('one', some)).toMatchObject({ status: 200, body: { result: 1 } })
    expect(await run('two', some)).toMatchObject({ status: 403, body: failure('KeyNotAuthorizedError') })
    const none = await at().accessKey({ permitted: ['saved_queries'], options: { saved_queries: { allowed: [] } } })
    expect((await run('one', none)).status).toBe(403)
  })

  test('7.4 datasets: operations, and the index values allowed', async () => {
    const { send, project } = at()
    await send('PUT', '/datasets/who', {
      key: project.master,
      body: {
        display_name: 'Who',
        index_by: 'who',
        query: { analysis_type: 'count', event_collection: 'visits', timeframe: 'this_2_days', interval: 'daily' },
      },
    })
    const key = await at().accessKey({
      permitted: ['datasets'],
      options: { datasets: { operations: ['retrieve'], allowed: { who: { index_by: { who: ['ann'] } } } } },
    })
    const results = async (value: string) =>
      send('GET', `/datasets/who/results?index_by=${value}&timeframe=this_2_days`, { key })
    expect((await results('bob')).status).toBe(403)
    expect((await results('ann')).status).toBe(200)
    expect((await send('GET', '/datasets/who', { key })).status).toBe(403)
  })
})

describe('7.8 scoped keys', () => {
  const scoped = (plain: object, masterKey: string): string => {
    const iv = randomBytes(16)
    const cipher = createCipheriv('aes-256-cbc', Buffer.from(masterKey, 'hex'), iv)
    return Buffer.concat([iv, cipher.update(JSON.stringify(plain), 'utf8'), cipher.final()]).toString('hex')
  }

  test('7.8 a key that the SDKs encrypt with the master key reads within its filters', async () => {
    const key = scoped({ allowed_operations: ['read'], filters: ONLY_ANN }, at().project.master)
    expect((await at().ask('count', COUNT, key)).body).toEqual({ result: 1 })
    expect((await at().ask('count', COUNT, key.toUpperCase())).body).toEqual({ result: 1 })
    expect((await at().send('POST', '/events/visits', { key, body: { who: 'ann' } })).status).toBe(403)
  })

  test('7.8 one made with another key is unknown', async () => {
    const key = scoped({ allowed_operations: ['read'], filters: [] }, 'AB'.repeat(32))
    expect(await at().ask('count', COUNT, key)).toMatchObject({ status: 401, body: failure('InvalidApiKeyError') })
  })
})

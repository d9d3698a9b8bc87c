import { beforeAll, describe, expect, test } from 'vitest'
import { call, DEPLOYMENT } from '../../support/api.ts'
import { eventually } from '../../support/processes.ts'
import { deployed, failure } from './deployment.ts'

const at = deployed()
const read = () => ({ key: at().project.read })
const master = () => ({ key: at().project.master })
const DELETES = '/events/deletes'

beforeAll(async () => {
  await at().record({
    purchases: [{ item: { id: 7, name: 'cup', on_sale: true }, tags: ['a'] }],
    deletes: [{ who: 'ann', secret: 'x' }, { who: 'bob', secret: 'y' }, { who: 'eve' }],
    doomed: [{ a: 1 }],
  })
})

describe('8.1 schema', () => {
  const PROPERTIES = {
    'item.id': 'num',
    'item.name': 'string',
    'item.on_sale': 'bool',
    tags: 'array',
    'keen.timestamp': 'datetime',
    'keen.created_at': 'datetime',
    'keen.id': 'string',
  }

  test('8.1 all collections', async () => {
    const { status, body } = await at().send('GET', '/events', read())
    expect(status).toBe(200)
    const url = `/3.0/projects/${at().project.id}/events/purchases`
    expect(body).toContainEqual(expect.objectContaining({ name: 'purchases', url, properties: PROPERTIES }))
    const bare = (await at().send('GET', '/events?include_schema=false', read())).body as object[]
    for (const collection of bare) expect(collection).not.toHaveProperty('properties')
  })

  test('8.1 one collection, one property', async () => {
    expect((await at().send('GET', '/events/purchases', read())).body).toMatchObject({ properties: PROPERTIES })
    const property = await at().send('GET', '/events/purchases/properties/item.name', read())
    expect(property.body).toMatchObject({
      property_name: 'item.name',
      type: 'string',
      url: `/3.0/projects/${at().project.id}/events/purchases/properties/item.name`,
    })
    for (const path of ['/events/nowhere', '/events/purchases/properties/nothing']) {
      expect(await at().send('GET', path, read())).toMatchObject({
        status: 404,
        body: failure('ResourceNotFoundError'),
      })
    }
  })

  test('8.1 needs the permission schema', async () => {
    const key = await at().accessKey({ permitted: ['queries'] })
    expect((await at().send('GET', '/events', { key })).status).toBe(403)
    expect(
      (await at().send('GET', '/events/purchases', { key: await at().accessKey({ permitted: ['schema'] }) })).status,
    ).toBe(200)
  })
})

describe('8.2 and 8.3 deletes', () => {
  test('12.1 filters in the body and nothing in the address: 400, nothing deleted', async () => {
    const body = { filters: [{ property_name: 'who', operator: 'eq', property_value: 'ann' }] }
    expect((await at().send('DELETE', DELETES, { ...master(), body })).status).toBe(400)
    await at().counted('deletes', 3)
  })

  test('8.2 wrong filters are never no filters', async () => {
    for (const query of [
      'filters=%7B',
      'timeframe=soon',
      'filters=%5B%7B%22operator%22%3A%22no%22%7D%5D',
      'timezone=Mars&timeframe=this_2_days',
    ]) {
      const { status } = await at().send('DELETE', `${DELETES}?${query}`, master())
      expect({ query, status }).toEqual({ query, status: 400 })
    }
    expect((await at().send('DELETE', DELETES, read())).status).toBe(401)
    await at().counted('deletes', 3)
  })

  test('8.2 by filter, as keen-analysis sends it: body {}, quoted values, an empty pair', async () => {
    const filters = encodeURIComponent(
      JSON.stringify([{ property_name: 'who', operator: 'eq', property_value: 'ann' }]),
    )
    const { status, text } = await at().send(
      'DELETE',
      `${DELETES}?filters=${filters}&timeframe=%22this_7_days%22&&api_key=${at().project.master}`,
      { body: {} },
    )
    expect({ status, text }).toEqual({ status: 204, text: '' })
    await at().counted('deletes', 2)
  })

  test('8.3 a property: gone from the events and the schema; keen.* stays', async () => {
    expect((await at().send('DELETE', `${DELETES}/properties/keen.timestamp`, master())).status).toBe(403)
    expect((await at().send('DELETE', `${DELETES}/properties/secret`, master())).status).toBe(204)
    await eventually('the property is gone', async () => {
      const { body } = await at().ask('select_unique', {
        event_collection: 'deletes',
        timeframe: 'this_2_days',
        target_property: 'secret',
      })
      return (body as { result: unknown[] }).result.length === 0
    })
    const { body } = await at().ask('extraction', { event_collection: 'deletes', timeframe: 'this_2_days' })
    expect(JSON.stringify(body)).not.toContain('secret')
    expect((await at().send('GET', '/events/deletes', read())).body).not.toHaveProperty('properties.secret')
  })

  test('8.2 a whole collection', async () => {
    expect((await at().send('DELETE', '/events/doomed', { ...master(), body: {} })).status).toBe(204)
    await eventually(
      'the collection is gone',
      async () => (await at().send('GET', '/events/doomed', read())).status === 404,
    )
  })
})

describe('8.5 and 8.6 projects', () => {
  test('8.5 the project of the key', async () => {
    const { body } = await at().send('GET', '', master())
    const url = `/3.0/projects/${at().project.id}`
    expect(body).toMatchObject({ id: at().project.id, url, events_url: `${url}/events`, queries_url: `${url}/queries` })
    expect((body as { events: unknown }).events).toContainEqual({ name: 'purchases', url: `${url}/events/purchases` })
    expect((await at().sendTo('GET', '/3.0/projects', master())).body).toMatchObject([{ id: at().project.id }])
  })

  test('8.6 the organization’s projects', async () => {
    const url = `${at().url}/3.0/organizations/${DEPLOYMENT.organizationId}/projects`
    const made = await call('POST', url, {
      key: DEPLOYMENT.organizationKey,
      body: { name: 'Second', users: [{ email: 'a@b.c' }] },
    })
    expect(made).toMatchObject({ status: 201, body: { name: 'Second', users: [{ email: 'a@b.c' }] } })
    const { id } = made.body as { id: string }
    expect(id).toMatch(/^[0-9a-f]{24}$/)
    const changed = await call('POST', `${url}/${id}`, { key: DEPLOYMENT.organizationKey, body: { name: 'Third' } })
    expect(changed).toMatchObject({ status: 200, body: { name: 'Third', users: [{ email: 'a@b.c' }] } })
    expect((await call('GET', url, { key: DEPLOYMENT.organizationKey })).body).toContainEqual(changed.body)
    expect(await call('GET', url, { key: at().project.master })).toMatchObject({ status: 401 })
  })
})

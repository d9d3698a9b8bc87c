import { beforeEach, expect, test } from 'vitest'
import type { ProjectKeys } from '../support/api.ts'
import { openTestAdmin, type OpenedAdmin, type Sent } from '../support/open-admin.ts'

interface KeyBody {
  readonly key: string
  readonly name: string
  readonly is_active: boolean
  readonly permitted: readonly string[]
  readonly options: Readonly<Record<string, unknown>>
}

const BLANK = { writes: null, queries: null, saved_queries: null, cached_queries: null, datasets: null }
const FILTER = { property_name: 'customer.id', operator: 'eq', property_value: '93iskds39kd93id' }
/** The full example of the API's reference. */
const CUSTOMER = {
  name: 'customer 42',
  is_active: true,
  permitted: ['writes', 'queries', 'saved_queries', 'cached_queries', 'datasets', 'schema'],
  options: {
    writes: { autofill: { customer: { id: '93iskds39kd93id', name: 'Ada Corp.' } } },
    queries: { filters: [FILTER] },
    saved_queries: { allowed: ['my_saved_query'], blocked: ['my_sensitive_query'], filters: [FILTER] },
    cached_queries: { allowed: ['my_cached_query'], blocked: ['my_sensitive_cached_query'] },
    datasets: {
      operations: ['read', 'list', 'retrieve'],
      allowed: {
        my_single_index_dataset: { index_by: { 'customer.id': ['93iskds39kd93id'] } },
        my_other_dataset_unlimited_access: {},
      },
      blocked: ['my_sensitive_dataset'],
    },
  },
}

let admin: OpenedAdmin
let project: ProjectKeys
let keys: string
beforeEach(async () => {
  admin = await openTestAdmin()
  project = await admin.createProject()
  keys = `/3.0/projects/${project.id}/keys`
})
const post = (url: string, body?: unknown): Promise<Sent> => admin.send('POST', url, { key: project.master, body })
const get = (url: string): Promise<Sent> => admin.send('GET', url, { key: project.master })
const create = async (body: unknown): Promise<KeyBody> => {
  const made = await post(keys, body)
  expect(made).toMatchObject({ status: 201 })
  return made.body as KeyBody
}

test('an access key comes back as it was made, with a key of 64 upper-case hex characters', async () => {
  const made = await create(CUSTOMER)
  expect(made).toEqual({ ...CUSTOMER, key: expect.stringMatching(/^[0-9A-F]{64}$/) as unknown, project_id: project.id })
  expect(await get(`${keys}/${made.key}`)).toMatchObject({ status: 200, body: made })
  expect((await admin.send('HEAD', `${keys}/${made.key}`, { key: project.master })).status).toBe(200)
  const grant = admin.registry.authenticate(project.id, made.key)
  expect(grant.kind).toBe('access')
  expect(grant.options).toEqual(CUSTOMER.options)
})

test('every group of options is in the answer, null where it is not set', async () => {
  const made = await create({
    name: 'k',
    is_active: true,
    permitted: ['queries'],
    options: { queries: { filters: [] } },
  })
  expect(made.options).toEqual({ ...BLANK, queries: { filters: [] } })
  expect((await create({ name: 'k', permitted: [], options: null })).options).toEqual(BLANK)
})

test('what a client got it can send back, nulls and all', async () => {
  const made = await create({ ...CUSTOMER, key: 'mine', project_id: 'other', unknown: 1 })
  const changed = await post(`${keys}/${made.key}`, {
    ...made,
    name: 'renamed',
    options: { ...made.options, writes: null },
  })
  expect(changed).toMatchObject({
    status: 200,
    body: { ...made, name: 'renamed', options: { ...made.options, writes: null } },
  })
  const nulls = {
    saved_queries: { allowed: null, blocked: null, filters: null },
    schema: null,
    query_definition: {},
    later: null,
  }
  expect((await create({ ...CUSTOMER, options: nulls })).options).toEqual({ ...BLANK, saved_queries: {} })
})

test('an update replaces the whole key: what it leaves out is blank, and a key is not revived by leaving it out', async () => {
  const made = await create(CUSTOMER)
  const changed = await post(`${keys}/${made.key}`, { name: null })
  expect(changed).toMatchObject({
    status: 200,
    body: { name: '', is_active: false, permitted: [], options: BLANK, key: made.key },
  })
})

test('a revoked key is refused and listed, an unrevoked one works again, a deleted one is gone', async () => {
  const { key } = await create(CUSTOMER)
  for (const body of ['""', undefined, '{}', 'not even JSON']) {
    expect(await post(`${keys}/${key}/revoke`, body)).toMatchObject({ status: 200, body: { key, is_active: false } })
    expect(() => admin.registry.authenticate(project.id, key)).toThrow()
    expect(((await get(keys)).body as KeyBody[]).map((listed) => listed.key)).toContain(key)
    expect(await post(`${keys}/${key}/unrevoke`, body)).toMatchObject({ status: 200, body: { key, is_active: true } })
    expect(admin.registry.authenticate(project.id, key).kind).toBe('access')
  }
  expect(await admin.send('DELETE', `${keys}/${key}`, { key: project.master, body: '{}' })).toMatchObject({
    status: 204,
    body: undefined,
  })
  expect(await get(`${keys}/${key}`)).toMatchObject({ status: 404, body: { error_code: 'ResourceNotFoundError' } })
})

test('the read and the write key are listed and can be revoked, renamed and deleted; the master key is out of reach', async () => {
  const listed = (await get(keys)).body as KeyBody[]
  expect(listed.map(({ key, permitted }) => [key, permitted])).toEqual([
    [project.read, ['queries', 'saved_queries', 'cached_queries', 'datasets', 'schema']],
    [project.write, ['writes']],
  ])
  expect(await post(`${keys}/${project.write}/revoke`)).toMatchObject({ status: 200 })
  expect(() => admin.registry.authenticate(project.id, project.write)).toThrow()
  const [read] = listed
  expect(await post(`${keys}/${project.read}`, { ...read, name: 'dashboards' })).toMatchObject({
    body: { name: 'dashboards' },
  })
  expect(await post(`${keys}/${project.read}`, { ...read, permitted: ['writes'] })).toMatchObject({
    status: 400,
    body: { error_code: 'InvalidRequestFieldError' },
  })
  for (const url of ['', '/revoke', '/unrevoke']) {
    expect(await post(`${keys}/${project.master}${url}`, '{}')).toMatchObject({ status: 404 })
  }
  expect(await admin.send('DELETE', `${keys}/${project.master}`, { key: project.master })).toMatchObject({
    status: 404,
  })
})

test('a listing is searched by name and cut in pages', async () => {
  for (let i = 0; i < 7; i += 1) await create({ ...CUSTOMER, name: `Customer ${i}` })
  const names = async (query: string): Promise<unknown> =>
    ((await get(`${keys}?${query}`)).body as KeyBody[]).map(({ name }) => name)
  expect(await names('name=customer%206')).toEqual(['Customer 6'])
  expect(await names('name=Customer&page=2&per_page=3')).toEqual(['Customer 3', 'Customer 4', 'Customer 5'])
  expect(await names('name=Customer&page=4&per_page=3')).toEqual([])
  expect(await names('page=&per_page=&name=')).toHaveLength(9)
  for (const query of [
    'page=0',
    'page=x',
    'page=-1',
    'page=1e3',
    'per_page=201',
    'per_page=0',
    `name=${'x'.repeat(257)}`,
  ]) {
    const field = query.split('=')[0] ?? ''
    expect(await get(`${keys}?${query}`), query).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining(field) as unknown },
    })
  }
})

test('another project’s key is not found under this one', async () => {
  const other = await admin.createProject('other')
  for (const key of [other.read, other.write, other.master, 'X', '%00', 'A'.repeat(64)]) {
    expect(await get(`${keys}/${key}`), key).toMatchObject({
      status: 404,
      body: { error_code: 'ResourceNotFoundError' },
    })
  }
  expect(await admin.send('DELETE', `${keys}/${other.read}`, { key: project.master })).toMatchObject({ status: 404 })
  expect(admin.registry.authenticate(other.id, other.read).kind).toBe('read')
})

test('what is wrong with a key’s body is a 400 that names the field', async () => {
  const deep = (levels: number): unknown => JSON.parse('{"a":'.repeat(levels) + '1' + '}'.repeat(levels))
  const cases: [unknown, string, string?][] = [
    ['[]', 'body', 'InvalidRequestError'],
    ['', 'JSON', 'InvalidJSONError'],
    [{ name: 1 }, 'name'],
    [{ name: 'x'.repeat(257) }, 'name'],
    [{ is_active: 'true' }, 'is_active'],
    [{ permitted: 'queries' }, 'permitted'],
    [{ permitted: ['queries', 'reads'] }, 'permitted[1]'],
    [{ permitted: [null] }, 'permitted[0]'],
    [{ options: [] }, 'options'],
    [{ options: { query: {} } }, 'options.query'],
    [{ options: { queries: [] } }, 'options.queries'],
    [{ options: { queries: { filter: [] } } }, 'options.queries.filter'],
    [{ options: { queries: { filters: {} } } }, 'options.queries.filters', 'InvalidFilterError'],
    [{ options: { queries: { filters: [{}] } } }, 'options.queries.filters[0]', 'InvalidFilterError'],
    [
      { options: { queries: { filters: [{ ...FILTER, operator: 'like' }] } } },
      'options.queries.filters[0].operator',
      'InvalidFilterError',
    ],
    [
      { options: { saved_queries: { filters: [{ ...FILTER, property_name: 3 }] } } },
      'options.saved_queries.filters[0]',
      'InvalidFilterError',
    ],
    [{ options: { saved_queries: { allowed: 'a' } } }, 'options.saved_queries.allowed'],
    [{ options: { saved_queries: { blocked: [1] } } }, 'options.saved_queries.blocked[0]'],
    [{ options: { cached_queries: { filters: [] } } }, 'options.cached_queries.filters'],
    [{ options: { writes: { autofill: [] } } }, 'options.writes.autofill'],
    [{ options: { writes: { autofill: { 'a.b': 1 } } } }, 'options.writes.autofill'],
    [{ options: { writes: { autofill: { a: [{ '': 1 }] } } } }, 'options.writes.autofill.a[0]'],
    [{ options: { writes: { autofill: deep(30) } } }, 'options.writes.autofill'],
    [{ options: { writes: { autofill: { a: 'x'.repeat(40_000) } } } }, 'options.writes.autofill'],
    [{ options: { writes: { autofill: { a: 'x'.repeat(70_000) } } } }, 'options'],
    [{ options: { datasets: { operations: ['drop'] } } }, 'options.datasets.operations[0]'],
    [{ options: { datasets: { allowed: ['a'] } } }, 'options.datasets.allowed'],
    [{ options: { datasets: { allowed: { a: null } } } }, 'options.datasets.allowed.a'],
    [{ options: { datasets: { allowed: { a: { index: {} } } } } }, 'options.datasets.allowed.a.index'],
    [{ options: { datasets: { allowed: { a: { index_by: { b: 'c' } } } } } }, 'options.datasets.allowed.a.index_by.b'],
    [
      { options: { datasets: { allowed: { a: { index_by: { b: [{}] } } } } } },
      'options.datasets.allowed.a.index_by.b[0]',
    ],
    [{ options: { schema: { allowed: [] } } }, 'options.schema'],
    [{ options: deep(50) }, 'options'],
  ]
  const { key } = await create(CUSTOMER)
  for (const url of [keys, `${keys}/${key}`]) {
    for (const [body, field, error_code = 'InvalidRequestFieldError'] of cases) {
      const answer = await post(url, body)
      expect({ status: answer.status, body: answer.body }, JSON.stringify(body).slice(0, 100)).toEqual({
        status: 400,
        body: { error_code, message: expect.stringContaining(field) as unknown },
      })
    }
    const tooLarge = { name: 'x'.repeat(300_000) }
    expect(await post(url, tooLarge)).toMatchObject({ status: 413, body: { error_code: 'RequestEntityTooLargeError' } })
  }
  expect((await get(`${keys}/${key}`)).body).toMatchObject({ ...CUSTOMER })
})

test('a name that JavaScript knows otherwise is a name like any other', async () => {
  const body =
    '{"name":"k","options":{"datasets":{"allowed":{"__proto__":{},"constructor":{}}},"writes":{"autofill":{"__proto__":{"x":1}}}}}'
  const { key } = (await post(keys, body)).body as KeyBody
  const { options } = (await get(`${keys}/${key}`)).body as KeyBody
  expect(JSON.stringify(options)).toContain('{"autofill":{"__proto__":{"x":1}}}')
  expect(JSON.stringify(options)).toContain('{"allowed":{"__proto__":{},"constructor":{}}}')
  for (const options of ['{"__proto__":{}}', '{"constructor":{}}', '{"queries":{"toString":1}}']) {
    expect(await post(keys, `{"options":${options}}`)).toMatchObject({ status: 400 })
  }
})

test('a project cannot have more keys than the setting says', async () => {
  const small = await openTestAdmin({ limits: { keysPerProjectMax: 4 } })
  const { id, master } = await small.createProject()
  const statuses = []
  for (let i = 0; i < 2; i += 1) {
    statuses.push((await small.send('POST', `/3.0/projects/${id}/keys`, { key: master, body: CUSTOMER })).status)
  }
  expect(statuses).toEqual([201, 400])
})

test('when the log takes nothing, a change is a 503 that may be sent again', async () => {
  const slow = await openTestAdmin({ limits: { writeTimeoutMs: 20 } })
  const { id, master } = await slow.createProject()
  slow.log.hold()
  const { status, body, headers } = await slow.send('POST', `/3.0/projects/${id}/keys`, { key: master, body: CUSTOMER })
  expect({ status, body }).toMatchObject({ status: 503, body: { error_code: 'ServiceUnavailableError' } })
  expect(headers['retry-after']).toBe('1')
})

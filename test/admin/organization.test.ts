import { beforeEach, expect, test } from 'vitest'
import { DEPLOYMENT } from '../support/api.ts'
import { openTestAdmin, ORGANIZATION_URL, type OpenedAdmin } from '../support/open-admin.ts'

const KEY = DEPLOYMENT.organizationKey
const SECRET: unknown = expect.stringMatching(/^[0-9A-F]{64}$/)

let admin: OpenedAdmin
beforeEach(async () => {
  admin = await openTestAdmin()
})

test('a project is made with its three keys, and is given back the same when asked for', async () => {
  const users = [{ email: 'ada@example.org' }]
  const preferences = { s3_bucket_name: 'bucket' }
  const made = await admin.send('POST', ORGANIZATION_URL, { key: KEY, body: { name: 'Flights', users, preferences } })
  expect(made.status).toBe(201)
  expect(made.body).toEqual({
    id: expect.stringMatching(/^[0-9a-f]{24}$/) as unknown,
    name: 'Flights',
    organization_id: DEPLOYMENT.organizationId,
    api_keys: { master: SECRET, write: SECRET, read: SECRET },
    is_active: true,
    users,
    preferences,
  })
  const { id } = made.body as { id: string }
  expect((await admin.send('GET', `${ORGANIZATION_URL}/${id}`, { key: KEY })).body).toEqual(made.body)
  expect((await admin.send('GET', ORGANIZATION_URL, { key: KEY })).body).toEqual([made.body])
  expect((await admin.send('HEAD', `${ORGANIZATION_URL}/${id}`, { key: KEY })).status).toBe(200)
})

test('a change of a project keeps what it does not name, and replaces the users as a whole', async () => {
  const { id } = await admin.createProject('Before')
  const url = `${ORGANIZATION_URL}/${id}`
  const change = async (body: unknown): Promise<unknown> => (await admin.send('POST', url, { key: KEY, body })).body
  expect(await change({ users: [{ email: 'a@b.c' }, { email: 'd@e.f' }] })).toMatchObject({ name: 'Before' })
  expect(await change({ name: 'After', users: null })).toMatchObject({
    name: 'After',
    users: [{ email: 'a@b.c' }, { email: 'd@e.f' }],
  })
  expect(await change({ users: [{ email: 'g@h.i' }] })).toMatchObject({ name: 'After', users: [{ email: 'g@h.i' }] })
  expect(await change({})).toMatchObject({ name: 'After', preferences: {} })
})

test('a deleted project is a 404 to everybody', async () => {
  const project = await admin.createProject()
  const url = `${ORGANIZATION_URL}/${project.id}`
  expect(await admin.send('DELETE', url, { key: KEY, body: {} })).toMatchObject({ status: 204, body: undefined })
  for (const [method, path, key] of [
    ['GET', url, KEY],
    ['POST', url, KEY],
    ['DELETE', url, KEY],
    ['GET', `/3.0/projects/${project.id}`, project.master],
    ['GET', `/3.0/projects/${project.id}/keys`, project.master],
    ['DELETE', `/3.0/projects/${project.id}/keys/${project.read}`, project.master],
  ] as const) {
    const { status, body } = await admin.send(method, path, { key, ...(method === 'POST' && { body: {} }) })
    expect({ status, body }, `${method} ${path}`).toMatchObject({
      status: 404,
      body: { error_code: 'ResourceNotFoundError' },
    })
  }
  expect((await admin.send('GET', '/3.0/projects', { key: project.master })).status).toBe(401)
  expect((await admin.send('GET', ORGANIZATION_URL, { key: KEY })).body).toEqual([])
})

test('another organization’s project is not there, whatever is asked of it', async () => {
  const { id } = await admin.createProject()
  const record = admin.log.records.at(-1)
  const value = { ...(JSON.parse(String(record?.value)) as object), organizationId: 'f'.repeat(24) }
  await admin.log.append('control', [
    { partition: 0, key: record?.key ?? null, value: Buffer.from(JSON.stringify(value)) },
  ])
  await admin.createProject('mine')
  const url = `${ORGANIZATION_URL}/${id}`
  for (const [method, path] of [
    ['GET', url],
    ['POST', url],
    ['POST', `${url}/api_keys/read/replace`],
    ['DELETE', url],
  ] as const) {
    expect((await admin.send(method, path, { key: KEY, body: {} })).status, method).toBe(404)
  }
  const listed = (await admin.send('GET', ORGANIZATION_URL, { key: KEY })).body
  expect(listed).toMatchObject([{ name: 'mine' }])
})

test('a leaked key is replaced: the old one is worth nothing, the new one stands in the project', async () => {
  const project = await admin.createProject()
  const url = `${ORGANIZATION_URL}/${project.id}`
  for (const kind of ['master', 'read', 'write'] as const) {
    const { status, body } = await admin.send('POST', `${url}/api_keys/${kind}/replace`, { key: KEY })
    expect(status).toBe(200)
    const fresh = (body as { api_keys: Record<string, string> }).api_keys[kind]
    expect(fresh).toEqual(SECRET)
    expect(fresh).not.toBe(project[kind])
    expect(() => admin.registry.authenticate(project.id, project[kind])).toThrow()
    expect(admin.registry.authenticate(project.id, fresh).kind).toBe(kind)
  }
  expect((await admin.send('POST', `${url}/api_keys/access/replace`, { key: KEY })).status).toBe(404)
})

test('a master key sees its own project, and the list of one', async () => {
  const project = await admin.createProject()
  await admin.createProject('another')
  const url = `/3.0/projects/${project.id}`
  const { status, body } = await admin.send('GET', url, { key: project.master })
  expect(status).toBe(200)
  expect(body).toMatchObject({
    id: project.id,
    name: 'Flights',
    events: [],
    events_url: `${url}/events`,
    queries_url: `${url}/queries`,
    saved_queries: [],
    url,
  })
  expect(JSON.stringify(body)).not.toContain(project.master)
  expect((await admin.send('GET', `/3.0/projects?api_key=${project.master}`)).body).toEqual([body])
  expect((await admin.send('HEAD', url, { key: project.master })).status).toBe(200)
})

test('what is wrong with a project’s body is a 400 that names the field', async () => {
  const { id } = await admin.createProject()
  const cases: [unknown, string, string][] = [
    [[], 'body', 'InvalidRequestError'],
    ['', 'JSON', 'InvalidJSONError'],
    ['{"name":', 'JSON', 'InvalidJSONError'],
    [{ name: 7 }, 'name', 'InvalidRequestFieldError'],
    [{ name: ' ' }, 'name', 'InvalidRequestFieldError'],
    [{ name: 'x'.repeat(257) }, 'name', 'InvalidRequestFieldError'],
    ['{"name":"\\ud800"}', 'name', 'InvalidRequestFieldError'],
    [{ name: 'x', users: {} }, 'users', 'InvalidRequestFieldError'],
    [{ name: 'x', users: ['a@b.c'] }, 'users[0]', 'InvalidRequestFieldError'],
    [{ name: 'x', users: [{ email: 'a@b.c' }, { email: 'nobody' }] }, 'users[1].email', 'InvalidRequestFieldError'],
    [{ name: 'x', preferences: [] }, 'preferences', 'InvalidRequestFieldError'],
    [{ name: 'x', preferences: { a: 'x'.repeat(20_000) } }, 'preferences', 'InvalidRequestFieldError'],
  ]
  for (const url of [ORGANIZATION_URL, `${ORGANIZATION_URL}/${id}`]) {
    for (const [body, field, error_code] of cases) {
      const answer = await admin.send('POST', url, { key: KEY, body })
      expect({ status: answer.status, body: answer.body }, JSON.stringify(body).slice(0, 80)).toEqual({
        status: 400,
        body: { error_code, message: expect.stringContaining(field) as unknown },
      })
    }
  }
  expect(await admin.send('POST', ORGANIZATION_URL, { key: KEY, body: { users: [] } })).toMatchObject({
    status: 400,
    body: { error_code: 'MissingRequiredRequestFieldError', message: 'name is required' },
  })
})

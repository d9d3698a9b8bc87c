import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { StreamDeps } from '../../services/admin/app.ts'
import { createProber, type ProbeResult } from '../../services/shared/streams/probe.ts'
import { streamSecretsWith } from '../../services/shared/streams/secrets.ts'
import { DEPLOYMENT, type ProjectKeys } from '../support/api.ts'
import { type Method, openTestAdmin, ORGANIZATION_URL, type OpenedAdmin, type Sent } from '../support/open-admin.ts'
import { S3_DESTINATION } from '../support/stream-bodies.ts'
import { streamSettings } from '../support/streams.ts'

let admin: OpenedAdmin
let project: ProjectKeys
let folder: string
let result: ProbeResult
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-exports-'))
  result = { ok: true, ms: 1 }
  await open({ probe: async () => result })
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})
async function open(deps: Partial<StreamDeps>): Promise<void> {
  admin = await openTestAdmin({ streams: { settings: streamSettings('', folder, 3), ...deps } })
  project = await admin.createProject()
}

const send = (method: Method, path: string, body?: unknown): Promise<Sent> =>
  admin.send(method, `/3.0/projects/${project.id}/streams${path}`, { key: project.master, body })
const LAKE = { destination: S3_DESTINATION, format: 'parquet' }
const FILES = { destination: { kind: 'folder', folder: 'mine' }, format: 'jsonl.gz' }

test('a stream is made, shown, listed, replaced and deleted', async () => {
  const externalId = streamSecretsWith(DEPLOYMENT.secret).externalIdOf(project.id)
  expect((await send('GET', '')).body).toEqual({ external_id: externalId, streams: [] })
  const made = await send('PUT', '/lake', LAKE)
  expect(made).toMatchObject({ status: 201 })
  expect(made.body).toEqual({
    name: 'lake',
    project_id: project.id,
    version: expect.any(String) as unknown,
    created_at: expect.stringMatching(/Z$/) as unknown,
    changed_at: expect.stringMatching(/Z$/) as unknown,
    destination: {
      kind: 's3',
      bucket: 'lake',
      region: 'eu-central-1',
      endpoint: null,
      path_style: false,
      credentials: { kind: 'static', access_key_id: 'AKIAIOSFODNN7EXAMPLE', secret_access_key: '********' },
      encryption: null,
    },
    prefix: '{project}/{stream}/{collection}/{year}-{month}-{day}/{hour}/',
    format: 'parquet',
    collections: null,
    filters: [],
    cadence_minutes: 5,
    target_bytes: 134_217_728,
    start: expect.stringMatching(/Z$/) as unknown,
    paused: false,
    external_id: externalId,
  })
  expect(await send('GET', '/lake')).toMatchObject({ status: 200, body: made.body })
  expect((await send('HEAD', '/lake')).status).toBe(200)
  await send('PUT', '/files', FILES)
  const { streams } = (await send('GET', '')).body as { streams: { name: string }[] }
  expect(streams.map(({ name }) => name)).toEqual(['files', 'lake'])

  const replaced = await send('PUT', '/lake', { ...LAKE, cadence_minutes: 60 })
  expect(replaced).toMatchObject({ status: 200, body: { cadence_minutes: 60 } })
  const [before, after] = [made.body, replaced.body] as Record<string, unknown>[]
  expect(after?.['version']).not.toBe(before?.['version'])
  expect(after).toMatchObject({ created_at: before?.['created_at'], start: before?.['start'] })

  expect(await send('DELETE', '/lake')).toMatchObject({ status: 204, body: undefined })
  for (const [method, path] of [
    ['GET', '/lake'],
    ['DELETE', '/lake'],
    ['POST', '/lake/pause'],
    ['POST', '/lake/resume'],
    ['POST', '/lake/test'],
    ['POST', '/lake/backfill'],
  ] as const) {
    expect(await send(method, path), `${method} ${path}`).toMatchObject({
      status: 404,
      body: { error_code: 'ResourceNotFoundError' },
    })
  }
})

test('what was shown can be sent back, and changes nothing but the version', async () => {
  await send('PUT', '/lake', { ...LAKE, start: '2020-02-03T04:05:06Z', collections: ['a'], filters: [] })
  const { body: shown } = await send('GET', '/lake')
  const { status, body } = await send('PUT', '/lake', { ...(shown as object), state: {} })
  expect(status).toBe(200)
  const same: unknown = expect.any(String)
  expect(body).toEqual({ ...(shown as object), version: same, changed_at: same })
})

test('a paused stream stays paused when it is replaced, until it is resumed', async () => {
  await send('PUT', '/lake', LAKE)
  expect(await send('POST', '/lake/pause', 'anything')).toMatchObject({ status: 200, body: { paused: true } })
  expect(await send('PUT', '/lake', LAKE)).toMatchObject({ body: { paused: true } })
  const records = admin.log.records.length
  expect(await send('POST', '/lake/pause')).toMatchObject({ status: 200, body: { paused: true } })
  expect(admin.log.records).toHaveLength(records)
  expect(await send('POST', '/lake/resume')).toMatchObject({ status: 200, body: { paused: false } })
})

test('what is wrong is a 400 that names it, and nothing is kept', async () => {
  const before = admin.log.records.length
  const cases: readonly (readonly [path: string, body: unknown, told: string])[] = [
    ['/lake', {}, 'destination'],
    ['/lake', '{', 'JSON'],
    ['/lake', { ...LAKE, format: 'xml' }, 'format'],
    ['/lake', { ...LAKE, filters: [{ operator: 'eq' }] }, 'filters[0].property_name'],
    ['/lake?test=perhaps', LAKE, 'test'],
    ['/a%20b', LAKE, 'name'],
    ['/a%2fb', LAKE, 'name'],
    [`/${'x'.repeat(65)}`, LAKE, 'name'],
  ]
  for (const [path, body, told] of cases) {
    const answer = await send('PUT', path, body)
    expect(answer.status, path).toBe(400)
    expect((answer.body as { message: string }).message).toContain(told)
  }
  expect(admin.log.records).toHaveLength(before)
})

test('a destination that fails its test is not kept, unless the caller wants no test', async () => {
  result = { ok: false, step: 'put', reason: 'no_bucket', message: 'The bucket refused: NoSuchBucket.' }
  expect(await send('PUT', '/lake', LAKE)).toMatchObject({
    status: 400,
    body: {
      error_code: 'InvalidRequestFieldError',
      step: 'put',
      reason: 'no_bucket',
      message: expect.stringMatching(/^destination .*put.*no_bucket.*NoSuchBucket/) as unknown,
    },
  })
  expect((await send('GET', '/lake')).status).toBe(404)
  expect((await send('PUT', '/lake?test=false', LAKE)).status).toBe(201)
  expect(await send('POST', '/lake/test')).toMatchObject({ status: 200, body: result })
  result = { ok: true, ms: 12 }
  expect(await send('POST', '/lake/test')).toMatchObject({ status: 200, body: result })
})

test('a project has so many streams and no more, also when they are made at once', async () => {
  const made = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => send('PUT', `/${name}`, LAKE)))
  expect(made.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 201, 201, 400, 400])
  expect((await send('PUT', '/a', LAKE)).status).toBe(200)
  const refused = await send('PUT', '/f', LAKE)
  expect(refused.body).toMatchObject({ message: expect.stringContaining('3 streams') as unknown })
})

test('the streams of a deleted project are gone with it', async () => {
  await send('PUT', '/lake', LAKE)
  await admin.send('DELETE', `${ORGANIZATION_URL}/${project.id}`, { key: DEPLOYMENT.organizationKey, body: {} })
  expect(admin.registry.definitions.list('stream', project.id)).toEqual([])
})

test('a probe of a folder writes into the project’s own and leaves nothing', async () => {
  await open({ probe: createProber() })
  expect(await send('PUT', '/files', FILES)).toMatchObject({ status: 201 })
  expect(await send('POST', '/files/test')).toEqual({
    status: 200,
    body: { ok: true, ms: expect.any(Number) as unknown },
    headers: expect.anything() as unknown,
  })
  expect(await readdir(folder)).toEqual([project.id])
  const left = await readdir(join(folder, project.id), { recursive: true, withFileTypes: true })
  expect(left.filter((entry) => entry.isFile())).toEqual([])
})

test('the state of a stream is shown once the process that delivers has told it, of this life of the stream alone', async () => {
  await send('PUT', '/lake', LAKE)
  expect((await send('GET', '/lake')).body).not.toHaveProperty('state')
  const createdAtMs = admin.registry.definitions.get('stream', project.id, 'lake')?.createdAtMs
  const told = { stream: 'lake', stream_created_at_ms: createdAtMs, state: 'running', sequence: 7 }
  await admin.registry.definitions.put('stream-state', project.id, 'lake', told)
  expect((await send('GET', '/lake')).body).toMatchObject({ state: { state: 'running', sequence: 7 } })
  expect((await send('GET', '/lake')).body).not.toHaveProperty('state.stream')
  await admin.registry.definitions.put('stream-state', project.id, 'lake', { ...told, stream_created_at_ms: 1 })
  expect((await send('GET', '/lake')).body).not.toHaveProperty('state')
})

test('back-fills are made, listed, and go with their stream', async () => {
  await send('PUT', '/lake', LAKE)
  const asked = { start: '2026-01-01', end: '2026-01-02T12:00:00Z' }
  const made = await send('POST', '/lake/backfills', asked)
  expect(made).toMatchObject({
    status: 201,
    body: { start: '2026-01-01T00:00:00.000Z', end: '2026-01-02T12:00:00.000Z' },
  })
  expect((await send('GET', '/lake/backfills')).body).toEqual({ backfills: [made.body] })
  await send('DELETE', '/lake')
  await send('PUT', '/lake', LAKE)
  expect((await send('GET', '/lake/backfills')).body).toEqual({ backfills: [] })
  expect(admin.registry.definitions.list('stream-backfill', project.id)).toEqual([])
})

test.each([
  [{}, 'start'],
  [{ start: '2026-01-01' }, 'end'],
  [{ start: 'soon', end: '2026-01-02' }, 'start'],
  [{ start: '2026-01-02', end: '2026-01-02' }, 'end'],
  [{ start: '2026-01-01', end: '2999-01-01' }, 'end'],
  [{ start: '2026-01-01', end: '2026-01-02', until: 1 }, 'until'],
])('a back-fill of %j is refused by the name of its field', async (body, field) => {
  await send('PUT', '/lake', LAKE)
  const answer = await send('POST', '/lake/backfills', body)
  expect(answer.status).toBe(400)
  expect(answer.body).toMatchObject({ message: expect.stringContaining(field) as unknown })
})

test('changes are noted by who made them, of which stream', async () => {
  await send('PUT', '/lake', LAKE)
  await send('PUT', '/lake', LAKE)
  await send('POST', '/lake/pause')
  await send('POST', '/lake/resume')
  await send('DELETE', '/lake')
  const changes = admin.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg, stream }) => msg === 'admin change' && stream === 'lake')
  expect(changes.map(({ action }) => action)).toEqual([
    'stream created',
    'stream replaced',
    'stream paused',
    'stream resumed',
    'stream deleted',
  ])
  for (const change of changes)
    expect(change).toMatchObject({ projectId: project.id, requestId: expect.any(String) as unknown })
})

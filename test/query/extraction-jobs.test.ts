import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { ExtractionFiles, ExtractionJob } from '../../services/query/extraction/files.ts'
import { folderFiles } from '../../services/query/extraction/folder-files.ts'
import type { Grant } from '../../services/shared/registry/grant.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { buildQueryApi, SETTINGS } from './api.ts'
import { grantFor, hexId, openTestWarehouse, store } from './stored-events.ts'

const P = 'a'.repeat(24)
const NOW = Date.UTC(2026, 0, 10, 12)
const DAY_MS = 86_400_000
const EVENTS = 3_000
const keyed = (keyId: string, grant: Grant): Grant => ({ ...grant, keyId })
const ted = [{ property_name: 'user', operator: 'eq', property_value: 'ted' }]

interface Job {
  readonly job_id: string
  readonly state: ExtractionJob['state']
  readonly events: number
  readonly bytes: number
  readonly status_url: string
  readonly download_url: string | null
  readonly error: { readonly error_code: string } | null
}

let opened: Awaited<ReturnType<typeof openTestWarehouse>>
let folder: string
let files: ExtractionFiles
let keys: Record<string, Grant>
let nowMs: number
const apis: ReturnType<typeof buildQueryApi>[] = []

beforeAll(async () => {
  opened = await openTestWarehouse()
  const event = (i: number) => ({
    project: P,
    collection: 'c',
    timestampMs: NOW + i,
    createdAtMs: NOW,
    id: hexId(i),
    body: JSON.stringify({ i, user: i % 3 === 0 ? 'ted' : 'bob', list: [i, 'x'] }),
  })
  await store(
    opened.warehouse,
    Array.from({ length: EVENTS }, (_, i) => event(i)),
  )
})
afterAll(async () => opened.close())
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-extractions-'))
  files = folderFiles(folder)
  nowMs = NOW
  keys = {
    MASTER: keyed('master', grantFor(P)),
    READ: keyed('read', grantFor(P, undefined, 'read')),
    TED: keyed('ted', grantFor(P, ted)),
    TOO: keyed('too', grantFor(P, ted)),
  }
})
afterEach(async () => {
  for (const api of apis.splice(0)) await api.app.close()
  await rm(folder, { recursive: true, force: true })
})

function start(
  extraction: Partial<(typeof SETTINGS)['extraction']> = {},
  more: { warehouse?: Warehouse; isSole?: boolean } = {},
) {
  const api = buildQueryApi({
    warehouse: more.warehouse ?? opened.warehouse,
    keys,
    nowMs: NOW,
    now: () => nowMs,
    settings: { ...SETTINGS, extraction: { ...SETTINGS.extraction, ...extraction } },
    extractions: { files, isSole: more.isSole ?? true, secret: 'a secret of this test' },
  })
  apis.push(api)
  const get = async (url: string, key?: string, method: 'GET' | 'DELETE' | 'HEAD' = 'GET') =>
    api.app.inject({ method, url, headers: key === undefined ? {} : { authorization: key } })
  const ask = async (fields: object, key = 'READ') =>
    api.app.inject({
      method: 'POST',
      url: `/3.0/projects/${P}/queries/extraction`,
      headers: { authorization: key },
      payload: JSON.stringify({ event_collection: 'c', timeframe: 'today', ...fields }),
    })
  const begin = async (fields: object, key = 'READ') =>
    (await ask(fields, key)).json<{ status_url: string }>().status_url
  const ended = async (url: string, key = 'READ'): Promise<Job> => {
    let job: Job | undefined
    await expect
      .poll(async () => (job = (await get(url, key)).json<Job>()).state, { timeout: 10_000 })
      .toMatch(/done|failed/)
    return job as Job
  }
  return { ...api, get, ask, begin, ended }
}

/** The warehouse, whose streams give their rows when told to. */
function heldWarehouse() {
  const go = Promise.withResolvers<void>()
  let streams = 0
  const warehouse: Warehouse = {
    ...opened.warehouse,
    kind: 'chdb',
    read: async (request) => opened.warehouse.read(request),
    stream: async (request) => {
      streams++
      await Promise.race([go.promise, new Promise((resolve) => request.signal.addEventListener('abort', resolve))])
      return opened.warehouse.stream(request)
    },
  }
  return { warehouse, release: () => go.resolve(), streams: () => streams }
}

test('email and async begin a job whose file has every event, in each form', async () => {
  const api = start({ eventsMax: 10 })
  for (const [fields, lines] of [
    [{ email: 'a@example.com' }, EVENTS + 1],
    [{ email_address: 'a@example.com', content_type: 'application/json' }, EVENTS],
    [{ async: true, content_type: 'text/csv', latest: 5, content_encoding: 'gzip' }, 6],
    [{ async: true, content_type: 'application/x-ndjson', content_encoding: 'gzip' }, EVENTS],
  ] as const) {
    const answer = await api.ask(fields)
    expect([answer.statusCode, answer.json().result]).toEqual([200, expect.stringContaining('Processing.')])
    const job = await api.ended(answer.json().status_url)
    expect(job).toMatchObject({ job_id: answer.json().job_id, state: 'done', error: null })
    // The link needs no key, and works for HEAD too.
    const file = await api.get(String(job.download_url))
    const isGzip = 'content_encoding' in fields
    const bytes = isGzip ? gunzipSync(file.rawPayload) : file.rawPayload
    expect(bytes.toString().trimEnd().split(/\r?\n/)).toHaveLength(lines)
    expect(file.rawPayload).toHaveLength(job.bytes)
    expect(file.headers['content-type']).toContain(
      isGzip ? 'application/gzip' : 'content_type' in fields ? 'application/x-ndjson' : 'text/csv',
    )
    const head = await api.get(String(job.download_url), undefined, 'HEAD')
    expect([head.statusCode, head.headers['content-length'], head.body]).toEqual([200, String(job.bytes), ''])
  }
})

test('a file is for the key that asked, the master key, and who has the link; not for another key, nor after a change of what the key sees', async () => {
  const api = start()
  const url = await api.begin({ async: true, content_type: 'application/x-ndjson' }, 'READ')
  const { download_url } = await api.ended(url)
  for (const [path, method] of [
    [url, 'GET'],
    [`${url}/file`, 'GET'],
    [url, 'DELETE'],
  ] as const) {
    expect((await api.get(path, 'TED', method)).statusCode).toBe(404)
    expect((await api.get(path, undefined, method)).statusCode).toBe(401)
  }
  for (const key of ['READ', 'MASTER']) {
    expect((await api.get(`${url}/file`, key)).body.trimEnd().split('\n')).toHaveLength(EVENTS)
    expect((await api.get(`/3.0/projects/${P}/extractions`, key)).json()).toHaveLength(1)
  }
  expect((await api.get(`/3.0/projects/${P}/extractions`, 'TED')).json()).toEqual([])

  const own = await api.begin({ async: true, content_type: 'application/x-ndjson' }, 'TED')
  await api.ended(own, 'TED')
  const text = (await api.get(`${own}/file`, 'TED')).body
  expect(text.trimEnd().split('\n')).toHaveLength(EVENTS / 3)
  expect(text).not.toContain('bob')
  expect((await api.get(`${own}/file`, 'TOO')).statusCode).toBe(404)
  keys['TED'] = keyed('ted', grantFor(P, [...ted, { property_name: 'i', operator: 'lt', property_value: 9 }]))
  expect((await api.get(`${own}/file`, 'TED')).statusCode).toBe(404)

  const other = String(download_url).replace(url, own)
  for (const link of [
    other,
    `${download_url}x`,
    String(download_url).replace(/expires=\d/, 'expires=9'),
    `${url}/file?token=`,
  ]) {
    expect((await api.get(link)).statusCode).toBe(403)
  }
  nowMs += 31 * DAY_MS
  expect((await api.get(String(download_url))).statusCode).toBe(403)
  expect((await api.get(url, 'READ')).statusCode).toBe(404)
})

test('a job does not begin once its key is revoked, or sees other rows', async () => {
  const held = heldWarehouse()
  const api = start({ jobsRunningMax: 1 }, held)
  const first = await api.begin({ async: true })
  const revoked = await api.begin({ async: true }, 'TED')
  const changed = await api.begin({ async: true }, 'TOO')
  delete keys['TED']
  keys['TOO'] = keyed('too', grantFor(P, []))
  expect((await api.get(first, 'MASTER')).json()).toMatchObject({ state: 'running' })
  expect((await api.get(changed, 'MASTER')).json()).toMatchObject({ state: 'waiting' })
  held.release()
  expect(await api.ended(first)).toMatchObject({ state: 'done' })
  expect(await api.ended(revoked, 'MASTER')).toMatchObject({ error: { error_code: 'InvalidApiKeyError' } })
  expect(await api.ended(changed, 'MASTER')).toMatchObject({ error: { error_code: 'KeyNotAuthorizedError' } })
  expect(held.streams()).toBe(1)
})

test('a job that is too large, or whose warehouse refuses, fails by name and leaves no file', async () => {
  for (const settings of [{ jobEventsMax: 10 }, { jobBytesMax: 10_000 }]) {
    const api = start(settings)
    const url = await api.begin({ async: true })
    const job = await api.ended(url)
    expect(job).toMatchObject({ state: 'failed', download_url: null, error: { error_code: 'ExtractionTooLargeError' } })
    expect((await api.get(`${url}/file`, 'READ')).statusCode).toBe(404)
    expect((await readdir(join(folder, P))).filter((name) => /\.(?:data|part)$/.test(name))).toEqual([])
  }
  const api = start()
  expect((await api.ask({ async: true, event_collection: 'none' })).json().error_code).toBe('ResourceNotFoundError')
})

test('jobs wait their turn, and too many are refused', async () => {
  const held = heldWarehouse()
  const api = start({ jobsRunningMax: 2 }, held)
  const urls = []
  for (let i = 0; i < 22; i++) urls.push(await api.begin({ async: true }))
  const refused = await api.ask({ async: true })
  expect([refused.statusCode, refused.json().error_code]).toEqual([429, 'QueryConcurrencyLimitError'])
  await expect.poll(held.streams).toBe(2)
  held.release()
  for (const url of urls) expect(await api.ended(url)).toMatchObject({ state: 'done', events: EVENTS })
})

test('a job that is deleted stops, whether it runs or waits, and nothing of it stays', async () => {
  const held = heldWarehouse()
  const api = start({ jobsRunningMax: 1 }, held)
  const [running, waiting] = [await api.begin({ async: true }), await api.begin({ async: true })]
  await expect.poll(held.streams).toBe(1)
  for (const url of [waiting, running]) {
    expect((await api.get(url, 'READ', 'DELETE')).statusCode).toBe(204)
    expect((await api.get(url, 'READ')).statusCode).toBe(404)
  }
  expect(await readdir(join(folder, P))).toEqual([])
  const whole = await api.begin({ async: true })
  held.release()
  await api.ended(whole)
  expect((await api.get(whole, 'READ', 'DELETE')).statusCode).toBe(204)
  expect(await readdir(join(folder, P))).toEqual([])
})

test('jobs of a process that died are failed after the next start; those that were done are there', async () => {
  const before = start()
  const done = await before.begin({ async: true })
  await before.ended(done)
  const [record] = await files.list(P)
  if (record === undefined) throw new Error('no record')
  const left = { ...record, id: '1'.repeat(32), state: 'running', bytes: 0, error: null } as const
  await files.put(left)
  await writeFile(join(folder, P, `${left.id}.part`), 'what there was of its file')
  const shared = start({}, { isSole: false })
  expect((await shared.get(`/3.0/projects/${P}/extractions/${left.id}`, 'READ')).json()).toMatchObject({
    state: 'running',
  })
  nowMs += 61_000
  expect((await shared.get(`/3.0/projects/${P}/extractions/${left.id}`, 'READ')).json()).toMatchObject({
    state: 'failed',
  })
  nowMs -= 61_000
  const after = start()
  await expect.poll(async () => (await files.get(left))?.state).toBe('failed')
  expect((await readdir(join(folder, P))).filter((name) => name.endsWith('.part'))).toEqual([])
  expect((await after.get(done, 'READ')).json()).toMatchObject({ state: 'done' })
  expect((await after.get(`${done}/file`, 'READ')).statusCode).toBe(200)
})

test('a stop ends what runs, and says so in the record', async () => {
  const held = heldWarehouse()
  const api = start({ jobsRunningMax: 1 }, held)
  await api.begin({ async: true })
  await api.begin({ async: true })
  await expect.poll(held.streams).toBe(1)
  await api.app.close()
  const states = (await files.list(P)).map((job) => [job.state, job.error?.code])
  expect(states).toEqual([
    ['failed', 'ServiceUnavailableError'],
    ['failed', 'ServiceUnavailableError'],
  ])
})

test('files are bounded: the oldest make room for the next', async () => {
  const api = start({ filesBytesMax: 1_000_000, jobBytesMax: 500_000, jobsRunningMax: 1 })
  const urls = []
  for (let i = 0; i < 6; i++) {
    urls.push(await api.begin({ async: true }))
    await api.ended(String(urls.at(-1)))
    nowMs += 1_000
  }
  const sizes = (await files.list(P)).map((job) => job.bytes)
  expect(sizes.reduce((a, b) => a + b)).toBeLessThanOrEqual(1_000_000)
  expect((await api.get(String(urls[0]), 'READ')).statusCode).toBe(404)
  expect((await api.get(`${urls.at(-1)}/file`, 'READ')).statusCode).toBe(200)
})

test('no id leads out of the folder', async () => {
  const api = start()
  for (const id of ['..%2F..%2Fetc', '%2e%2e', 'x', '0'.repeat(33)]) {
    for (const ending of ['', '/file']) {
      expect((await api.get(`/3.0/projects/${P}/extractions/${id}${ending}`, 'READ')).statusCode).toBe(404)
    }
  }
})

test('a file is there whole or not at all', async () => {
  const name = { projectId: P, id: '2'.repeat(32) }
  await mkdir(join(folder, P))
  const go = Promise.withResolvers<void>()
  const text = async function* () {
    yield 'x'.repeat(100_000)
    await go.promise
    yield 'y'
  }
  const written = files.write(name, text(), { gzip: false, signal: new AbortController().signal })
  await expect.poll(async () => readdir(join(folder, P))).toHaveLength(1)
  expect(await files.read(name)).toBeUndefined()
  go.resolve()
  expect(await written).toBe(100_001)
  expect(await readdir(join(folder, P))).toEqual([`${name.id}.data`])
  await files.remove(name)
  expect(await readdir(join(folder, P))).toEqual([])
})

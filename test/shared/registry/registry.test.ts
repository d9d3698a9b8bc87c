import { Registry as MetricsRegistry } from 'prom-client'
import { expect, test } from 'vitest'
import { AppError } from '../../../services/shared/errors.ts'
import type { EventLog } from '../../../services/shared/log/port.ts'
import { NO_OPTIONS } from '../../../services/shared/registry/grant.ts'
import { openRegistry } from '../../../services/shared/registry/registry.ts'
import type { KeyFields } from '../../../services/shared/registry/types.ts'
import { DEPLOYMENT } from '../../support/api.ts'
import { contents, openTestRegistry } from '../../support/open-registry.ts'

const ORG = DEPLOYMENT.organizationId
const FIELDS = { name: 'Flights', users: [], preferences: {} }
const KEY: KeyFields = { name: 'one', isActive: true, permitted: ['queries'], options: NO_OPTIONS }
const withCode = (code: string): unknown => expect.objectContaining({ code })
const secretOf = (key: { readonly secret: string } | undefined): string => key?.secret ?? 'no such key'

test('a new project has a master, a read and a write key, each with its own rights', async () => {
  const { registry } = await openTestRegistry()
  const project = await registry.createProject(ORG, FIELDS)
  expect(project.id).toMatch(/^[0-9a-f]{24}$/)
  const { master, read, write } = registry.predefinedKeys(project.id)
  for (const key of [master, read, write]) expect(secretOf(key)).toMatch(/^[0-9A-F]{64}$/)
  const kinds = [master, read, write].map((key) => {
    const { kind, permitted } = registry.authenticate(project.id, key?.secret)
    return [kind, permitted.has('writes'), permitted.has('queries')]
  })
  expect(kinds).toEqual([
    ['master', true, true],
    ['read', false, true],
    ['write', true, false],
  ])
})

test('the project is looked at before the key', async () => {
  const { registry } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  expect(() => registry.authenticate('0'.repeat(24), 'x')).toThrow(withCode('ResourceNotFoundError'))
  for (const presented of [undefined, '', 'undefined', 'x', 'x'.repeat(100_000)]) {
    expect(() => registry.authenticate(id, presented)).toThrow(withCode('InvalidApiKeyError'))
  }
})

test('a key works in its own project only', async () => {
  const { registry } = await openTestRegistry()
  const mine = await registry.createProject(ORG, FIELDS)
  const other = await registry.createProject(ORG, FIELDS)
  const { secret } = await registry.createKey(mine.id, KEY)
  expect(registry.authenticate(mine.id, secret).projectId).toBe(mine.id)
  expect(() => registry.authenticate(other.id, secret)).toThrow(withCode('InvalidApiKeyError'))
  expect(registry.key(other.id, secret)).toBeUndefined()
})

test('a revoked key is refused from the moment that its record is applied, and taken again when unrevoked', async () => {
  const { registry } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  const key = await registry.createKey(id, KEY)
  registry.authenticate(id, key.secret)
  const revoked = await registry.revoke(id, key.id)
  expect(revoked.isActive).toBe(false)
  expect(() => registry.authenticate(id, key.secret)).toThrow(withCode('InvalidApiKeyError'))
  expect(secretOf(registry.key(id, key.secret))).toBe(key.secret)
  await registry.unrevoke(id, key.id)
  expect(registry.authenticate(id, key.secret).keyId).toBe(key.id)
  await registry.deleteKey(id, key.id)
  expect(() => registry.authenticate(id, key.secret)).toThrow(withCode('InvalidApiKeyError'))
  await expect(registry.revoke(id, key.id)).rejects.toEqual(withCode('ResourceNotFoundError'))
})

test('what one process writes, another one that follows the same log knows', async () => {
  const { registry, log } = await openTestRegistry()
  const { registry: other } = await openTestRegistry({ log })
  const { id } = await registry.createProject(ORG, FIELDS)
  const key = await other.createKey(id, KEY)
  await registry.revoke(id, key.id)
  expect(() => other.authenticate(id, key.secret)).toThrow(withCode('InvalidApiKeyError'))
  expect(contents(other)).toEqual(contents(registry))
})

test('a deleted project is gone with all its keys', async () => {
  const { registry, log } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  const { master } = registry.predefinedKeys(id)
  await registry.deleteProject(id)
  expect(() => registry.authenticate(id, master?.secret)).toThrow(withCode('ResourceNotFoundError'))
  expect(() => registry.authenticateKey(master?.secret)).toThrow(withCode('InvalidApiKeyError'))
  await expect(registry.createKey(id, KEY)).rejects.toEqual(withCode('ResourceNotFoundError'))
  log.compact({ forgetDeletions: true })
  expect(log.records).toEqual([])
})

test('a new secret for a predefined key makes the old one worthless, also after a deletion', async () => {
  const { registry } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  for (const kind of ['master', 'read', 'write'] as const) {
    const old = secretOf(registry.predefinedKeys(id)[kind])
    const fresh = await registry.replaceSecret(id, kind)
    expect(() => registry.authenticate(id, old)).toThrow(withCode('InvalidApiKeyError'))
    expect(registry.authenticate(id, fresh.secret).kind).toBe(kind)
  }
  const read = registry.predefinedKeys(id).read
  await registry.deleteKey(id, read?.id ?? '')
  expect(registry.predefinedKeys(id).read).toBeUndefined()
  expect(registry.authenticate(id, (await registry.replaceSecret(id, 'read')).secret).kind).toBe('read')
})

test('what a predefined key permits cannot be changed, its name and activity can', async () => {
  const { registry } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  const { write } = registry.predefinedKeys(id)
  const keyId = write?.id ?? ''
  await expect(registry.replaceKey(id, keyId, { ...KEY, permitted: ['writes', 'queries'] })).rejects.toEqual(
    withCode('InvalidRequestFieldError'),
  )
  const options = { ...NO_OPTIONS, writes: { autofill: { a: 1 } } }
  await expect(registry.replaceKey(id, keyId, { ...KEY, permitted: ['writes'], options })).rejects.toEqual(
    withCode('InvalidRequestFieldError'),
  )
  const changed = await registry.replaceKey(id, keyId, { ...KEY, name: 'app', isActive: false, permitted: ['writes'] })
  expect(changed).toMatchObject({ kind: 'write', name: 'app', isActive: false })
})

test('the organization’s key opens its own organization only', async () => {
  const { registry } = await openTestRegistry()
  expect(() => registry.authenticateOrganization(ORG, DEPLOYMENT.organizationKey)).not.toThrow()
  for (const key of [undefined, '', 'x', DEPLOYMENT.organizationKey.toLowerCase()]) {
    expect(() => registry.authenticateOrganization(ORG, key)).toThrow(withCode('InvalidApiKeyError'))
  }
  expect(() => registry.authenticateOrganization('f'.repeat(24), DEPLOYMENT.organizationKey)).toThrow(
    withCode('ResourceNotFoundError'),
  )
})

test('two changes of one project at once are both kept', async () => {
  const { registry } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  await Promise.all([
    registry.updateProject(id, { name: 'new' }),
    registry.updateProject(id, { users: [{ email: 'a@b.c' }] }),
  ])
  expect(registry.project(id)).toMatchObject({ name: 'new', users: [{ email: 'a@b.c' }] })
})

test('a project has no more keys than the limit, also when they are made at once', async () => {
  const { registry } = await openTestRegistry({ limits: { keysPerProjectMax: 5 } })
  const { id } = await registry.createProject(ORG, FIELDS)
  const made = await Promise.allSettled(Array.from({ length: 10 }, () => registry.createKey(id, KEY)))
  expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
  expect(made.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'InvalidRequestError' } })
  const [key] = registry.keys(id, { name: 'ONE', page: 1, perPage: 1 })
  await registry.deleteKey(id, key?.id ?? '')
  await expect(registry.createKey(id, KEY)).resolves.toMatchObject({ name: 'one' })
})

test('keys are listed by age in pages, without the master key', async () => {
  const { registry } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  for (let i = 0; i < 5; i += 1) await registry.createKey(id, { ...KEY, name: `Customer ${i}` })
  const page = (page: number, name?: string): readonly string[] =>
    registry.keys(id, { page, perPage: 3, ...(name !== undefined && { name }) }).map((key) => key.name)
  expect([page(1), page(2), page(3), page(4)]).toEqual([
    ['Read Key', 'Write Key', 'Customer 0'],
    ['Customer 1', 'Customer 2', 'Customer 3'],
    ['Customer 4'],
    [],
  ])
  expect(page(2, 'customer')).toEqual(['Customer 3', 'Customer 4'])
})

test('a write is answered only when its record has come back', async () => {
  const { registry, log } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  log.hold()
  let isAnswered = false
  const writing = registry.updateProject(id, { name: 'later' }).then((project) => {
    isAnswered = true
    return project
  })
  while (log.records.length < 5) await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  expect(isAnswered).toBe(false)
  log.release()
  expect((await writing).name).toBe('later')
})

test('a write whose record does not come back in time is a 503', async () => {
  const { registry, log } = await openTestRegistry({ limits: { writeTimeoutMs: 20 } })
  const { id } = await registry.createProject(ORG, FIELDS)
  log.hold()
  await expect(registry.updateProject(id, { name: 'later' })).rejects.toEqual(withCode('ServiceUnavailableError'))
})

test('when following breaks off for good, that is seen, writes are a 503, and known keys still work', async () => {
  const { registry, log } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  const { read } = registry.predefinedKeys(id)
  log.hold()
  const waiting = registry.updateProject(id, { name: 'x' })
  while (log.records.length < 5) await new Promise((resolve) => setImmediate(resolve))
  expect(registry.isReady()).toBe(true)
  log.breakOff(new AppError('LOG_UNAVAILABLE', 'gone'))
  await expect(waiting).rejects.toEqual(withCode('ServiceUnavailableError'))
  await expect(registry.updateProject(id, { name: 'y' })).rejects.toEqual(withCode('ServiceUnavailableError'))
  expect(registry.isReady()).toBe(false)
  expect(registry.failed.reason).toEqual(withCode('LOG_UNAVAILABLE'))
  expect(registry.authenticate(id, read?.secret).kind).toBe('read')
})

test('another deployment secret is refused at the start, by name', async () => {
  const { registry, log } = await openTestRegistry()
  await registry.createProject(ORG, FIELDS)
  await expect(openTestRegistry({ log, secret: 'some other secret of a good length' })).rejects.toThrow(
    /^TRIBUTARY_SECRET is not the secret .*3 of 3 keys/,
  )
  await expect(openTestRegistry({ secret: 'short' })).rejects.toEqual(withCode('CONFIG_INVALID'))
})

test('opening is given up when it is asked to, and fails as following failed', async () => {
  const open = (follow: EventLog['follow'], signal?: AbortSignal): Promise<unknown> =>
    openRegistry({
      log: { append: async () => new Map(), follow },
      secret: DEPLOYMENT.secret,
      organization: { id: ORG, key: DEPLOYMENT.organizationKey },
      metrics: new MetricsRegistry(),
      logger: { info: () => {}, warn: () => {}, error: () => {} },
      now: Date.now,
      ...(signal !== undefined && { signal }),
    })
  const never = new Promise<void>(() => {})
  const untilAborted: EventLog['follow'] = (_topic, _apply, signal) => ({
    caughtUp: never,
    done: new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  })
  const stop = new AbortController()
  const opening = open(untilAborted, stop.signal)
  stop.abort()
  await expect(opening).rejects.toEqual(withCode('SHUTTING_DOWN'))
  const broken: EventLog['follow'] = () => ({
    caughtUp: never,
    done: Promise.reject(new AppError('LOG_UNAVAILABLE', 'no such topic')),
  })
  await expect(open(broken)).rejects.toEqual(withCode('LOG_UNAVAILABLE'))
})

test('counters say what became of records and why keys were refused', async () => {
  const { registry, metrics } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, FIELDS)
  expect(() => registry.authenticate(id, 'x')).toThrow()
  expect(() => registry.authenticate('nope', 'x')).toThrow()
  const text = await metrics.metrics()
  for (const line of [
    'registry_records_total{outcome="applied"} 4',
    'registry_refusals_total{reason="key_unknown"} 1',
    'registry_refusals_total{reason="project_unknown"} 1',
    'registry_projects_count 1',
    'registry_keys_count 3',
    'registry_write_seconds_count 1',
  ]) {
    expect(text).toContain(line)
  }
})

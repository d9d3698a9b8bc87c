import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { NO_OPTIONS } from '../../../services/shared/registry/grant.ts'
import type { Registry } from '../../../services/shared/registry/registry.ts'
import { DEPLOYMENT } from '../../support/api.ts'
import { memoryLog } from '../../support/memory-control-log.ts'
import { contents, openTestRegistry } from '../../support/open-registry.ts'

const ORG = DEPLOYMENT.organizationId
const CASES = 150

/** One write, on whichever project and key the numbers point at. */
interface Step {
  readonly kind:
    | 'createProject'
    | 'updateProject'
    | 'deleteProject'
    | 'createKey'
    | 'replaceKey'
    | 'revoke'
    | 'unrevoke'
    | 'deleteKey'
    | 'replaceSecret'
  readonly project: number
  readonly key: number
  readonly text: string
}

const steps = fc.array(
  fc.record<Step>({
    kind: fc.constantFrom(
      'createProject',
      'createProject',
      'updateProject',
      'deleteProject',
      'createKey',
      'createKey',
      'replaceKey',
      'revoke',
      'unrevoke',
      'deleteKey',
      'replaceSecret',
    ),
    project: fc.nat(5),
    key: fc.nat(8),
    text: fc.string({ unit: 'grapheme', maxLength: 8 }),
  }),
  { minLength: 1, maxLength: 25 },
)

async function take(registry: Registry, step: Step): Promise<unknown> {
  const projects = registry.projects(ORG)
  const id = projects[step.project % Math.max(projects.length, 1)]?.id ?? 'none'
  const keys = registry.keys(id, { page: 1, perPage: 1_000 })
  const keyId = keys[step.key % Math.max(keys.length, 1)]?.id ?? 'none'
  const fields = {
    name: step.text,
    isActive: step.key % 2 === 0,
    permitted: ['queries', 'writes'] as const,
    options: { ...NO_OPTIONS, writes: { autofill: { [step.text]: { deep: [step.text, null, 1.5] } } } },
  }
  switch (step.kind) {
    case 'createProject':
      return registry.createProject(ORG, { name: step.text, users: [], preferences: { [step.text]: 1 } })
    case 'updateProject':
      return registry.updateProject(id, { name: step.text })
    case 'deleteProject':
      return registry.deleteProject(id)
    case 'createKey':
      return registry.createKey(id, fields)
    case 'replaceKey':
      return registry.replaceKey(id, keyId, fields)
    case 'revoke':
      return registry.revoke(id, keyId)
    case 'unrevoke':
      return registry.unrevoke(id, keyId)
    case 'deleteKey':
      return registry.deleteKey(id, keyId)
    case 'replaceSecret':
      return registry.replaceSecret(id, (['master', 'read', 'write'] as const)[step.key % 3] ?? 'read')
    default:
      return step.kind satisfies never
  }
}

test('a registry built anew from the log, whole or compacted, equals the one that wrote it', async () => {
  let applied = 0
  await fc.assert(
    fc.asyncProperty(steps, async (writes) => {
      const { registry, log } = await openTestRegistry()
      for (const step of writes) {
        const outcome = await take(registry, step).then(
          () => 'applied',
          (error: unknown) => error,
        )
        if (outcome === 'applied') applied += 1
        else expect(['ResourceNotFoundError', 'InvalidRequestFieldError']).toContain((outcome as { code: string }).code)
      }
      const live = contents(registry)
      expect(contents((await openTestRegistry({ log })).registry)).toEqual(live)
      log.compact()
      expect(contents((await openTestRegistry({ log })).registry)).toEqual(live)
      log.compact({ forgetDeletions: true })
      const rebuilt = (await openTestRegistry({ log })).registry
      expect(contents(rebuilt)).toEqual(live)
      for (const { id } of rebuilt.projects(ORG)) {
        for (const key of rebuilt.keys(id, { page: 1, perPage: 1_000 })) {
          if (key.isActive) expect(rebuilt.authenticate(id, key.secret).keyId).toBe(key.id)
        }
      }
    }),
    { numRuns: CASES },
  )
  expect(applied).toBeGreaterThan(CASES)
})

test('no key stands in the topic’s bytes or in a log line', async () => {
  const { registry, log, lines } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, { name: 'p', users: [], preferences: {} })
  const key = await registry.createKey(id, { name: 'k', isActive: true, permitted: [], options: NO_OPTIONS })
  await registry.revoke(id, key.id)
  const { master, read, write } = registry.predefinedKeys(id)
  const bytes = Buffer.concat(
    log.records.flatMap((record) => [record.key ?? Buffer.alloc(0), record.value ?? Buffer.alloc(0)]),
  )
  const everything = bytes.toString('latin1') + lines.join('\n')
  expect(everything).toContain('sealed')
  const secrets = [master, read, write, key].map((known) => known?.secret ?? '')
  for (const secret of [...secrets, DEPLOYMENT.secret, DEPLOYMENT.organizationKey]) {
    expect(secret.length).toBeGreaterThan(20)
    for (const form of [
      secret,
      secret.toLowerCase(),
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret, 'hex').toString('base64'),
    ]) {
      if (form !== '') expect(everything.includes(form)).toBe(false)
    }
  }
  expect(JSON.stringify(registry.keys(id, { page: 1, perPage: 10 }))).not.toContain(key.secret)
})

const value = (json: unknown): Buffer => Buffer.from(JSON.stringify(json))

test('records that this version does not know are counted and left alone', async () => {
  const log = memoryLog()
  const junk: [string | null, Buffer | null][] = [
    [null, null],
    ['', value({})],
    ['stream/1', value({ v: 1 })],
    ['organization/1', value({ v: 1 })],
    ['project', value({ v: 1 })],
    ['key/1', value({ v: 1 })],
    ['key/1/2/3', value({ v: 1 })],
    ['project/a', Buffer.from('{')],
    ['project/a', Buffer.from([0xff, 0xfe])],
    ['project/a', value(null)],
    ['project/a', value({ v: 1, name: 3 })],
    ['project/a', value({ v: 2 })],
    ['key/a/b', value({ v: 7, anything: true })],
    ['key/a/c', null],
  ]
  await log.append(
    't',
    junk.map(([key, value]) => ({ partition: 0, key: key === null ? null : Buffer.from(key), value })),
  )
  const { registry, metrics } = await openTestRegistry({ log })
  expect(registry.projects(ORG)).toEqual([])
  await expect(registry.createProject(ORG, { name: 'p', users: [], preferences: {} })).resolves.toMatchObject({
    name: 'p',
  })
  const text = await metrics.metrics()
  expect(text).toContain('registry_records_total{outcome="unknown_kind"} 7')
  expect(text).toContain('registry_records_total{outcome="malformed"} 4')
  expect(text).toContain('registry_records_total{outcome="unknown_version"} 2')
  expect(text).toContain('registry_records_total{outcome="deleted"} 1')
})

test('a key that a later version wrote, or that was tampered with, does not go on working as it was', async () => {
  const { registry, log } = await openTestRegistry()
  const { id } = await registry.createProject(ORG, { name: 'p', users: [], preferences: {} })
  const key = await registry.createKey(id, { name: 'k', isActive: true, permitted: ['queries'], options: NO_OPTIONS })
  const record = log.records.at(-1)
  const json = JSON.parse(String(record?.value)) as Record<string, unknown>
  const put = async (recordKey: string, change: Record<string, unknown>): Promise<void> => {
    await log.append('t', [{ partition: 0, key: Buffer.from(recordKey), value: value({ ...json, ...change }) }])
    await registry.updateProject(id, {})
  }
  await put(`key/${id}/${key.id}`, { v: 2 })
  expect(() => registry.authenticate(id, key.secret)).toThrow(expect.objectContaining({ code: 'InvalidApiKeyError' }))
  await put(`key/${id}/${key.id}`, { aLaterField: true, permitted: ['queries', 'a later permission'] })
  expect([...registry.authenticate(id, key.secret).permitted]).toEqual(['queries'])
  // A sealed key that was moved to another record does not open there.
  await put(`key/${id}/moved`, {})
  const moved = registry.keys(id, { page: 1, perPage: 10 }).find((other) => other.id === 'moved')
  expect(() => moved?.secret).toThrow('a stored key cannot be opened')
})

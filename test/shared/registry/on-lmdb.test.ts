import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry as MetricsRegistry } from 'prom-client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type LmdbLog, openLmdbLog } from '../../../services/shared/log/lmdb/open.ts'
import { topicSpecs } from '../../../services/shared/log/topics.ts'
import { NO_OPTIONS } from '../../../services/shared/registry/grant.ts'
import { openRegistry, type Registry } from '../../../services/shared/registry/registry.ts'
import { DEPLOYMENT } from '../../support/api.ts'
import { contents } from '../../support/open-registry.ts'

const KEY = { name: 'k', isActive: true, permitted: ['queries'] as const, options: NO_OPTIONS }
const silent = { info: () => {}, warn: () => {}, error: () => {} }

let folder: string
let log: LmdbLog
const opened: Registry[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tributary-registry-'))
  await openLog()
})
afterEach(async () => {
  await closeAll()
  rmSync(folder, { recursive: true })
})

async function openLog(): Promise<void> {
  log = await openLmdbLog({ folder })
  await log.ensureTopics(topicSpecs({ eventPartitions: 1, retentionMs: 3_600_000, retentionBytes: 1 << 30 }))
}
async function closeAll(): Promise<void> {
  for (const registry of opened.splice(0)) await registry.close()
  await log.close()
}
async function open(secret: string = DEPLOYMENT.secret): Promise<Registry> {
  const registry = await openRegistry({
    log,
    secret,
    organization: { id: DEPLOYMENT.organizationId, key: DEPLOYMENT.organizationKey },
    metrics: new MetricsRegistry(),
    logger: silent,
    now: Date.now,
  })
  opened.push(registry)
  return registry
}
const createProject = (registry: Registry): Promise<{ readonly id: string }> =>
  registry.createProject(DEPLOYMENT.organizationId, { name: 'p', users: [], preferences: {} })

test('on the log of one machine, a key revoked through one registry is refused by the other', async () => {
  const [writer, reader] = [await open(), await open()]
  const { id } = await createProject(writer)
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const { id: keyId, secret } = await writer.createKey(id, KEY)
    await vi.waitFor(() => reader.authenticate(id, secret))
    await writer.revoke(id, keyId)
    await vi.waitFor(() => expect(() => reader.authenticate(id, secret)).toThrow('The key is'))
  }
})

test('on the log of one machine, projects and keys outlive a restart and a compaction, and no key is in its files', async () => {
  const registry = await open()
  const { id } = await createProject(registry)
  const doomed = await createProject(registry)
  const key = await registry.createKey(id, KEY)
  for (let i = 0; i < 10; i += 1) await registry.updateProject(id, { name: `name ${i}` })
  await registry.revoke(id, key.id)
  await registry.deleteProject(doomed.id)
  const live = contents(registry)
  const secrets = [key, ...Object.values(registry.predefinedKeys(id))].map((known) => known?.secret ?? '')
  await log.sweep()
  await closeAll()

  const bytes = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)))
  expect(Buffer.concat(bytes).includes('sealed')).toBe(true)
  for (const secret of secrets) {
    expect(secret).toHaveLength(64)
    for (const form of [Buffer.from(secret), Buffer.from(secret, 'hex')])
      expect(Buffer.concat(bytes).includes(form)).toBe(false)
  }

  await openLog()
  await expect(open('another secret of a good length')).rejects.toThrow('TRIBUTARY_SECRET')
  expect(contents(await open())).toEqual(live)
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { COMPACTION_DEFAULTS, type CompactionSettings } from '../../services/exporter/compaction/settings.ts'
import { compactionKey } from '../../services/exporter/domain/compaction.ts'
import { runUpkeep } from '../../services/exporter/upkeep/worker.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { AppError } from '../../services/shared/errors.ts'
import { openChdbWarehouse } from '../../services/shared/warehouse/chdb.ts'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { memoryDefinitions } from '../support/definitions.ts'
import { findingsOf, readByManifests } from './support/memory-archive.ts'
import { event, never, openPipeline, type Pipeline, T0 } from './support/pipeline.ts'

const HOUR = 3_600_000
const base = mkdtempSync(join(tmpdir(), 'tributary-upkeep-'))
let warehouse: Warehouse
let pipeline: Pipeline

beforeAll(async () => {
  warehouse = await openChdbWarehouse({ folder: join(base, 'warehouse'), readSessions: 1 })
  await migrate(warehouse, { signal: never })
})
afterAll(async () => {
  await warehouse.close()
  rmSync(base, { recursive: true, force: true })
})
beforeEach(async () => {
  pipeline = await openPipeline(base, warehouse)
  return async () => pipeline.close()
})

/** What was written to the log just now is of an hour that is over. */
const later = (): number => Date.now() + 2 * HOUR

async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it did not come to that')
    await delay(20)
  }
}

/** Several ranges in both partitions. */
async function archived(rounds = 3): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (const partition of [0, 1]) {
      const users = ['anna', 'bob', 'carl'] as const
      await pipeline.send(
        partition,
        users.map((user) => event({ user, round, partition })),
      )
    }
    await pipeline.exportAll()
  }
}

function start(settings: Partial<CompactionSettings>, archive: Bucket = pipeline.bucket) {
  const stop = new AbortController()
  const registry = new Registry()
  const { definitions } = memoryDefinitions(later)
  const errors: unknown[] = []
  const logger = { info: () => undefined, warn: () => undefined, error: (fields: unknown) => void errors.push(fields) }
  const deps = { log: pipeline.log, archive, definitions, folder: join(base, 'x'), registry, logger, now: later }
  const running = runUpkeep({ ...deps, settings: { ...COMPACTION_DEFAULTS, ...settings } }, stop.signal)
  const value = async (name: string): Promise<number> =>
    ((await registry.getSingleMetric(name)?.get())?.values ?? []).reduce((sum, one) => sum + one.value, 0)
  return {
    definitions,
    errors,
    value,
    running,
    end: async () => {
      stop.abort()
      await running
    },
  }
}

const merged = async (): Promise<number> =>
  (await pipeline.keys('events/')).filter((key) => key.includes('merged+')).length
const isThere = async (key: string): Promise<boolean> => (await pipeline.bucket.head(key, never)) !== undefined

test('it merges by itself, and a deletion comes when what was merged is cleared', async () => {
  await archived()
  const before = await readByManifests(pipeline.bucket)
  const { definitions, end, value } = start({ graceMs: 4_000 })
  await until(async () => isThere(compactionKey(1, 'done')))
  expect(await merged()).toBe(1)
  expect(await readByManifests(pipeline.bucket)).toEqual(before)
  const filters = [{ property_name: 'user', operator: 'eq', property_value: 'anna' }]
  const record = { collection: 'visits', what: 'events', atMs: T0 + HOUR, timeframe: null, filters, property: null }
  const progress = { state: 'pending', matched: 0, startedAtMs: null, doneAtMs: null }
  await definitions.put('deletion', 'p', 'd1', { ...record, ...progress })
  const isErased = (): boolean => definitions.get('erasure', 'p', 'd1')?.value['state'] === 'done'
  await delay(1_500)
  expect([isErased(), await isThere(compactionKey(1, 'cleared'))]).toEqual([false, false])
  await until(isErased)
  expect(await isThere(compactionKey(1, 'cleared'))).toBe(true)
  await end()
  const kept = [...before].filter(([, properties]) => !properties.includes('anna'))
  expect(await readByManifests(pipeline.bucket)).toEqual(new Map(kept))
  expect(await pipeline.keys('events/')).toHaveLength(1)
  expect(await findingsOf(pipeline.bucket, false)).toEqual([])
  expect(await value('compaction_objects_merged_total')).toBe(6)
  expect(await value('compaction_plans_uncleared')).toBe(0)
  const lag = await value('compaction_lag_seconds')
  expect(lag).toBeGreaterThanOrEqual(900)
  expect(lag).toBeLessThan(2 * 3_600)
})

test('it waits until the archive has what was in the log, and makes no plan where it is switched off', async () => {
  await archived()
  await pipeline.send(0, [event({ user: 'late' })])
  const waiting = start({ graceMs: 0 })
  await delay(2_500)
  expect(await pipeline.keys('compaction/')).toEqual([])
  await pipeline.exportAll()
  await until(async () => isThere(compactionKey(1, 'cleared')))
  await waiting.end()
  expect(await pipeline.keys('events/')).toHaveLength(1)
  await archived(1)
  const off = start({ enabled: false, graceMs: 0 })
  await delay(2_500)
  await off.end()
  expect(await isThere(compactionKey(2, 'plan'))).toBe(false)
})

test('what was begun is finished where it is switched off, and a bucket that is away is tried again', async () => {
  await archived()
  const away = {
    ...pipeline.bucket,
    put: async (...args: Parameters<Bucket['put']>) => {
      if (args[0].startsWith('manifests/')) throw new AppError('BUCKET_UNAVAILABLE', 'away')
      await pipeline.bucket.put(...args)
    },
  }
  const failing = start({ graceMs: 0 }, away)
  await until(async () => (await failing.value('compaction_failures_total')) > 0)
  await failing.end()
  expect(failing.errors).toHaveLength(1)
  expect(await isThere(compactionKey(1, 'done'))).toBe(false)
  const finishing = start({ enabled: false, graceMs: 0 })
  await until(async () => isThere(compactionKey(1, 'cleared')))
  await finishing.end()
  expect(await pipeline.keys('events/')).toHaveLength(1)
  expect(await findingsOf(pipeline.bucket, true)).toEqual([])
})

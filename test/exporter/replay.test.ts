import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { ARCHIVE_FORMATS } from '../../services/exporter/domain/archive-format.ts'
import { WHOLE_ARCHIVE } from '../../services/exporter/domain/scope.ts'
import { replay, type ReplayDeps } from '../../services/exporter/replay/replay.ts'
import type { ExporterSettings } from '../../services/exporter/settings.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { createErase } from '../../services/shared/deletions/domain/erase.ts'
import { AppError } from '../../services/shared/errors.ts'
import { openChdbWarehouse } from '../../services/shared/warehouse/chdb.ts'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { memoryDefinitions } from '../support/definitions.ts'
import { compact } from './support/compact.ts'
import {
  ask,
  emptied,
  event,
  mixedEvents,
  never,
  openPipeline,
  type Pipeline,
  storedRows,
  T0,
} from './support/pipeline.ts'

const base = mkdtempSync(join(tmpdir(), 'tributary-replay-'))
let warehouse: Warehouse
let pipeline: Pipeline

beforeAll(async () => {
  warehouse = await openChdbWarehouse({ folder: join(base, 'warehouse'), readSessions: 2 })
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

async function again(more: Partial<ReplayDeps> = {}) {
  const state = await pipeline.logState()
  return replay({
    bucket: pipeline.bucket,
    warehouse,
    erase: (event) => event,
    signal: never,
    nowMs: Date.now(),
    retryDelayMs: 5,
    retryDelayMaxMs: 20,
    scope: WHOLE_ARCHIVE,
    partition: undefined,
    loadedTo: ({ epoch, partition }) => (epoch === state.epoch ? (state.loaded(partition) ?? 0n) : undefined),
    anew: false,
    onRetry: () => undefined,
    onStart: () => undefined,
    onProgress: () => undefined,
    ...more,
  })
}

/** Several ranges of both partitions in the archive and in the warehouse; gives the warehouse's rows. */
async function loaded(settings: Partial<ExporterSettings> = {}): Promise<readonly unknown[]> {
  for (let round = 0; round < 4; round += 1) {
    await pipeline.send(0, mixedEvents(0, 40))
    await pipeline.send(1, mixedEvents(1, 25))
    await pipeline.exportAll(settings)
  }
  await pipeline.loadAll()
  return storedRows(warehouse)
}

const count = async (): Promise<number> => Number((await ask(warehouse, 'SELECT count() FROM events'))[0]?.[0])

/** A warehouse of which inserts behave otherwise. */
const changed = (insert: Warehouse['insert']): Warehouse =>
  new Proxy(warehouse, {
    get(target, name) {
      if (name === 'insert') return insert
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })

test.each(ARCHIVE_FORMATS)('an empty warehouse gets every row that the loader had made, from %s', async (format) => {
  const before = await loaded({ format })
  for (const key of await pipeline.keys('events/')) expect(key.endsWith(`.${format}`)).toBe(true)
  await emptied(warehouse)
  const events = await again()
  expect(await storedRows(warehouse)).toEqual(before)
  expect(events).toMatchObject({ inserted: await count(), present: 0, refused: 0, notLoaded: 0, gaps: 0 })
  expect(await again()).toMatchObject({ inserted: 0, present: events.inserted })
  expect(await storedRows(warehouse)).toEqual(before)
})

test('stopped at any insert, with or without an answer, it goes on and nothing is there twice', async () => {
  const before = await loaded()
  await emptied(warehouse)
  let stops = 0
  for (const allowed of [0, 1, 2, 3, 1]) {
    let inserts = 0
    const dying = changed(async (request) => {
      inserts += 1
      if (inserts > allowed) {
        if (allowed % 2 === 1) await warehouse.insert(request) // it is stored, and nobody hears of it
        throw new Error('the process dies here')
      }
      await warehouse.insert(request)
    })
    const outcome = await again({ warehouse: dying }).catch((error: unknown) => error)
    if (outcome instanceof Error) stops += 1
  }
  expect(stops).toBe(5)
  await again()
  expect(await storedRows(warehouse)).toEqual(before)
})

test('an insert of a killed attempt that arrives late is dropped, since it has the same token', async () => {
  const before = await loaded()
  await emptied(warehouse)
  const late: Parameters<Warehouse['insert']>[0][] = []
  const dying = changed(async (request) => {
    late.push({ ...request, rowBinary: Buffer.from(request.rowBinary) })
    throw new Error('the process dies here')
  })
  await expect(again({ warehouse: dying })).rejects.toThrow('dies here')
  await again()
  for (const request of late) await warehouse.insert(request)
  expect(late.length).toBeGreaterThan(0)
  expect(await storedRows(warehouse)).toEqual(before)
})

test('an abort stops it between two parts, and the next one skips what is done', async () => {
  const before = await loaded()
  await emptied(warehouse)
  const stop = new AbortController()
  const stopped = again({ signal: stop.signal, onProgress: (ranges) => (ranges === 3 ? stop.abort() : undefined) })
  await expect(stopped).rejects.toThrow()
  const rest = await again()
  expect(rest.skipped).toBeGreaterThan(0)
  expect(await storedRows(warehouse)).toEqual(before)
})

test('an unanswered insert is tried again', async () => {
  const before = await loaded()
  await emptied(warehouse)
  let calls = 0
  const flaky = changed(async (request) => {
    calls += 1
    if (calls % 3 !== 1) await warehouse.insert(request)
    if (calls % 3 !== 0) throw new AppError('WAREHOUSE_UNAVAILABLE', 'no answer')
  })
  await again({ warehouse: flaky })
  expect(await storedRows(warehouse)).toEqual(before)
})

test('into a warehouse that has a part, only what is missing goes', async () => {
  const before = await loaded()
  const total = await count()
  await warehouse.command('ALTER TABLE events DELETE WHERE log_offset % 3 = 0 SETTINGS mutations_sync = 2')
  await warehouse.command('ALTER TABLE event_repeats DELETE WHERE log_offset % 8 = 0 SETTINGS mutations_sync = 2')
  const left = await count()
  expect(left).toBeLessThan(total)
  expect(await again()).toMatchObject({ inserted: total - left, present: left })
  expect(await storedRows(warehouse)).toEqual(before)
  // The same rows again: a run that came to its end is not taken up, and its tokens are not used again.
  await warehouse.command('ALTER TABLE events DELETE WHERE log_offset % 3 = 0 SETTINGS mutations_sync = 2')
  expect(await again()).toMatchObject({ inserted: total - left, present: left })
  expect(await storedRows(warehouse)).toEqual(before)
})

test('what the loader has not come to is left to it', async () => {
  await pipeline.send(0, mixedEvents(0, 20))
  await pipeline.loadAll()
  await emptied(warehouse)
  await pipeline.send(0, mixedEvents(0, 20))
  await pipeline.exportAll() // one range over what is loaded and what is not
  const report = await again()
  expect(report.notLoaded).toBeGreaterThan(0)
  await pipeline.loadAll()
  const rows = await ask(warehouse, 'SELECT count(), uniqExact(log_offset), uniqExact(id) FROM events')
  expect(rows).toEqual([
    [report.inserted + report.notLoaded, report.inserted + report.notLoaded, report.inserted + report.notLoaded],
  ])
  expect(await again()).toMatchObject({ inserted: 0, notLoaded: 0 })
})

test('a project, hours of arrival and a partition narrow it', async () => {
  await loaded()
  const hour = `toStartOfHour(created_at) = toStartOfHour(fromUnixTimestamp64Milli(toInt64(${T0})))`
  const [[expected] = []] = await ask(
    warehouse,
    `SELECT count() FROM events WHERE project = 'q' AND ${hour} AND log_partition = 1`,
  )
  await emptied(warehouse)
  const report = await again({ scope: { project: 'q', fromMs: T0, toMs: T0 + 1 }, partition: 1 })
  expect(report.inserted).toBe(expected)
  expect(await ask(warehouse, 'SELECT DISTINCT project, log_partition FROM events')).toEqual([['q', 1]])
})

test('an archive whose objects are merged gives the same rows, also when they are merged in the middle of it', async () => {
  const before = await loaded()
  const soon = Date.now() + 3 * 3_600_000
  await emptied(warehouse)
  let gets = 0
  // The objects of the range that it is at are gone when it comes to them, and the manifests that it has listed, too.
  const moving: Bucket = {
    ...pipeline.bucket,
    get: async (key, signal, range) => {
      if (key.startsWith('events/')) gets += 1
      if (gets === 2) await compact(pipeline.bucket, join(base, 'upkeep'), soon)
      return pipeline.bucket.get(key, signal, range)
    },
  }
  expect(await again({ bucket: moving })).toMatchObject({ gaps: 0, refused: 0 })
  expect(await storedRows(warehouse)).toEqual(before)
  expect((await pipeline.keys('events/')).filter((key) => key.includes('merged+')).length).toBeGreaterThan(5)
  expect((await pipeline.keys('manifests/')).every((key) => key.endsWith('.r000001.json'))).toBe(true)
  await emptied(warehouse)
  await again()
  expect(await storedRows(warehouse)).toEqual(before)
})

test('what was deleted does not come back, and what the warehouse refused stays out', async () => {
  await pipeline.send(0, [
    event({ n: 1, secret: 'a' }),
    event({ n: 2, secret: 'b' }),
    event({}, { properties: Buffer.from('{"a":1,"a":2}') }),
  ])
  await pipeline.exportAll()
  const { definitions, deletions } = memoryDefinitions(Date.now)
  const value = { collection: 'visits', atMs: T0, timeframe: null, filters: [], property: null, state: 'done' }
  const rest = { matched: 0, startedAtMs: null, doneAtMs: null }
  const filters = [{ property_name: 'n', operator: 'eq', property_value: 1 }]
  await definitions.put('deletion', 'p', 'd1', { ...value, ...rest, what: 'events', filters })
  await definitions.put('deletion', 'p', 'd2', { ...value, ...rest, what: 'property', property: 'secret' })
  await pipeline.loadAll(deletions)
  const before = await storedRows(warehouse)
  await emptied(warehouse)
  expect(await again({ erase: createErase(deletions) })).toMatchObject({ inserted: 1, erased: 1, refused: 1 })
  expect(await storedRows(warehouse)).toEqual(before)
  expect(await ask(warehouse, 'SELECT body FROM events')).toEqual([['{"n":2}']])
})

import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NO_DELETIONS } from '../../services/shared/deletions/domain/erase.ts'
import { LOADER_DEFAULTS, type LoaderSettings } from '../../services/loader/settings.ts'
import { LOADER_GROUP, runLoader } from '../../services/loader/worker.ts'
import { AppError } from '../../services/shared/errors.ts'
import { encodeEvent } from '../../services/shared/events/codec.ts'
import { type LoggedEvent, REPEAT_WINDOW_MS } from '../../services/shared/events/event.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import type { EventLog, LogRecord } from '../../services/shared/log/port.ts'
import { DEAD_LETTER_TOPIC, EVENTS_TOPIC, topicSpecs } from '../../services/shared/log/topics.ts'
import { openChdbWarehouse } from '../../services/shared/warehouse/chdb.ts'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-loader-'))
const PARTITIONS = 2
const T0 = Date.UTC(2026, 0, 1)
const never = new AbortController().signal
let log: EventLog
let warehouse: Warehouse

beforeAll(async () => {
  log = await openLmdbLog({ folder: join(folder, 'log') })
  await log.ensureTopics(topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 }))
  warehouse = await openChdbWarehouse({ folder: join(folder, 'warehouse'), readSessions: 2 })
  await migrate(warehouse, { signal: never })
})
afterAll(async () => {
  await log.close()
  await warehouse.close()
  rmSync(folder, { recursive: true, force: true })
})

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

const event = (project: string, body: unknown, more: Partial<LoggedEvent> = {}): LoggedEvent => ({
  project,
  collection: 'visits',
  id: Buffer.from(randomUUID().replaceAll('-', ''), 'hex'),
  timestampMs: T0,
  createdAtMs: T0,
  repeatKey: null,
  properties: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  ...more,
})

const send = async (partition: number, values: readonly (LoggedEvent | Buffer)[]): Promise<void> => {
  const bytes = values.map((value) => (Buffer.isBuffer(value) ? value : encodeEvent(value)))
  await log.append(
    EVENTS_TOPIC,
    bytes.map((value) => ({ partition, key: null, value })),
  )
}

const ask = async (sql: string, params: Record<string, unknown> = {}) => {
  const limits = { executionS: 30, rowsToRead: 0, memoryBytes: 1e9, resultRows: 1e6, resultBytes: 1e9 }
  return (await warehouse.read({ sql, params, limits, queryId: randomUUID(), signal: never })).rows
}

const isCaughtUp = async (): Promise<boolean> => {
  const committed = await log.committed(EVENTS_TOPIC, LOADER_GROUP)
  return (await log.ends(EVENTS_TOPIC)).every(({ partition, end }) => {
    const at = committed.get(partition)
    return end === 0n || (at?.offset === end && at.metadata === '')
  })
}

/** Runs a loader until everything in the log is final; returns its counters. */
async function loadAll(target: Warehouse = warehouse, settings: Partial<LoaderSettings> = {}) {
  const stop = new AbortController()
  const registry = new Registry()
  const all = { ...LOADER_DEFAULTS, batchAgeMs: 20, retryDelayMs: 5, retryDelayMaxMs: 20, ...settings }
  const run = runLoader(
    { deletions: NO_DELETIONS, log, warehouse: target, registry, settings: all, logger: silent },
    stop.signal,
  )
  while (!(await isCaughtUp())) await Promise.race([delay(20), run])
  stop.abort()
  await run
  const of = async (name: string): Promise<number> =>
    ((await registry.getSingleMetric(name)?.get())?.values ?? []).reduce((sum, { value }) => sum + value, 0)
  const names = ['read', 'stored', 'repeated', 'dead_lettered', 'abandoned'] as const
  const counts = await Promise.all(names.map(async (name) => [name, await of(`loader_events_${name}_total`)] as const))
  const { read = 0, ...ends } = Object.fromEntries(counts)
  expect(Object.values(ends).reduce((sum, value) => sum + value, 0)).toBe(read)
  return { read, ...ends, batches: await of('loader_batches_total') }
}

/** A warehouse of which one method behaves otherwise. */
const changed = (insert: Warehouse['insert']): Warehouse =>
  new Proxy(warehouse, {
    get(target, name) {
      if (name === 'insert') return insert
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })

test('events arrive whole: columns, properties, body, and where they stood in the log', async () => {
  const id = Buffer.from('0192f0c0a1b27c3d8e4f506172839405', 'hex')
  const body = '{"b": 2,"a":{"x":"2026-01-01T00:00:00Z"},"n":null,"e":{}}'
  await send(1, [event('whole', body, { id, timestampMs: T0 + 1.0, createdAtMs: T0 + 2, collection: 'ünï' })])
  await loadAll()
  const { epoch } = await log.describe(EVENTS_TOPIC)
  const columns = 'collection, timestamp, created_at, id, body, properties, log_epoch, log_partition, log_offset'
  const [row] = await ask(`SELECT ${columns} FROM events WHERE project = 'whole'`)
  expect(row).toEqual([
    'ünï',
    '2026-01-01T00:00:00.001Z',
    '2026-01-01T00:00:00.002Z',
    '0192f0c0-a1b2-7c3d-8e4f-506172839405',
    body,
    { a: { x: '2026-01-01T00:00:00Z' }, b: 2 },
    epoch,
    1,
    0,
  ])
})

test('a backlog loads in batches closed by rows, in any number of partitions, and a second run adds nothing', async () => {
  for (const partition of [0, 1]) {
    await send(
      partition,
      Array.from({ length: 2_000 }, (_, n) => event('backlog', { n, partition })),
    )
  }
  const counts = await loadAll(warehouse, { batchRowsMax: 300 })
  expect(counts).toMatchObject({ stored: 4_000, repeated: 0, dead_lettered: 0 })
  expect(counts.batches).toBeGreaterThan(12)
  await loadAll()
  const unique = 'count(), uniqExact(log_epoch, log_partition, log_offset)'
  expect(await ask(`SELECT ${unique} FROM events WHERE project = 'backlog'`)).toEqual([[4_000, 4_000]])
})

test('a repeat within the window is dropped, in its batch and in any later one; other names and later times are kept', async () => {
  const repeatKey = Buffer.alloc(16, 7)
  // Times of receipt; the warehouse forgets repeat keys that are two months old.
  const R0 = Date.now() - 40 * 86_400_000
  const at = (createdAtMs: number, more: Partial<LoggedEvent> = {}) =>
    event('again', { at: createdAtMs }, { repeatKey, createdAtMs, ...more })
  await send(0, [at(R0), at(R0 + 5), at(R0 + 6, { collection: 'other' })])
  expect(await loadAll()).toMatchObject({ stored: 2, repeated: 1 })
  await send(0, [at(R0 + REPEAT_WINDOW_MS), at(R0 + REPEAT_WINDOW_MS + 1), at(R0 + REPEAT_WINDOW_MS + 2)])
  expect(await loadAll()).toMatchObject({ stored: 1, repeated: 2 })
  await send(0, [at(R0 + 9, { project: 'again2' })])
  expect(await loadAll()).toMatchObject({ stored: 1, repeated: 0 })
  expect(
    await ask("SELECT properties.at FROM events WHERE project = 'again' AND collection = 'visits' ORDER BY created_at"),
  ).toEqual([[R0], [R0 + REPEAT_WINDOW_MS + 1]])
})

test('records that cannot be used are in the dead-letter topic with their reason, and their neighbours are stored', async () => {
  const bad = [
    Buffer.from('no avro'),
    event('dead', '{"a":1e400}'),
    event('dead', 'not json'),
    event('dead', '{"a":1,"a":2}'),
  ]
  await send(
    1,
    Array.from({ length: 40 }, (_, n) => bad[n % 10] ?? event('dead', { n })),
  )
  expect(await loadAll()).toMatchObject({ read: 40, stored: 24, dead_lettered: 16 })
  expect(await ask("SELECT count(), uniqExact(log_offset) FROM events WHERE project = 'dead'")).toEqual([[24, 24]])
  const stop = new AbortController()
  const letters: LogRecord[] = []
  const following = log.follow(DEAD_LETTER_TOPIC, (record) => letters.push(record), stop.signal)
  await following.caughtUp
  stop.abort()
  await following.done
  const values = letters.map(({ value }) => JSON.parse(String(value)) as { reason: string; payload: string })
  expect(values.map(({ reason }) => reason).toSorted()).toEqual([
    ...Array.from({ length: 4 }, () => 'not_avro'),
    ...Array.from({ length: 12 }, () => 'warehouse_rejected'),
  ])
  expect(values.filter(({ payload }) => Buffer.from(payload, 'base64').toString() === 'no avro')).toHaveLength(4)
})

test('events of two hundred months load, in inserts that the table can take', async () => {
  const months = Array.from({ length: 200 }, (_, n) =>
    event('months', { n }, { timestampMs: T0 - n * 31 * 86_400_000 }),
  )
  await send(0, months)
  expect(await loadAll()).toMatchObject({ stored: 200, dead_lettered: 0 })
  expect(await ask("SELECT count() FROM events WHERE project = 'months'")).toEqual([[200]])
})

test('while the warehouse is away nothing is lost, and an insert whose answer was lost is not doubled', async () => {
  await send(
    0,
    Array.from({ length: 50 }, (_, n) => event('away', { n })),
  )
  let calls = 0
  const flaky = changed(async (request) => {
    calls += 1
    if (calls > 3) await warehouse.insert(request)
    if (calls < 6) throw new AppError('WAREHOUSE_UNAVAILABLE', 'no answer')
  })
  expect(await loadAll(flaky)).toMatchObject({ stored: 50 })
  expect(calls).toBe(6)
  expect(await ask("SELECT count() FROM events WHERE project = 'away'")).toEqual([[50]])
})

test('a batch that a loader began and left is finished by the next one with the same boundaries', async () => {
  await send(
    0,
    Array.from({ length: 30 }, (_, n) => event('left', { n })),
  )
  const stop = new AbortController()
  const tokens: string[] = []
  const broken = changed(async (request) => {
    tokens.push(request.token)
    await warehouse.insert(request)
    throw new Error('the process dies here')
  })
  const settings = { ...LOADER_DEFAULTS, batchRowsMax: 20, batchAgeMs: 20 }
  const deps = { deletions: NO_DELETIONS, log, warehouse: broken, registry: new Registry(), settings, logger: silent }
  await expect(runLoader(deps, stop.signal)).rejects.toThrow('the process dies here')
  await send(0, [event('left', { n: 30 })])
  await loadAll(
    changed(async (request) => {
      tokens.push(request.token)
      await warehouse.insert(request)
    }),
  )
  expect(tokens[1]).toBe(tokens[0])
  expect(await ask("SELECT count(), uniqExact(properties.n) FROM events WHERE project = 'left'")).toEqual([[31, 31]])
})

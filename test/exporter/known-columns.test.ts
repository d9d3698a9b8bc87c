import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type ColumnCatalogue, columnCatalogue } from '../../services/exporter/deliveries/column-catalogue.ts'
import { DELIVERY_DEFAULTS } from '../../services/exporter/deliveries/settings.ts'
import type { Course, CourseState } from '../../services/exporter/deliveries/stream.ts'
import { runDeliveries } from '../../services/exporter/deliveries/worker.ts'
import { columnsOf } from '../../services/exporter/formats/catalogue-kinds.ts'
import { readWhole } from '../../services/shared/bucket/body.ts'
import { openFolderBucket } from '../../services/shared/bucket/folder/open.ts'
import { openChdbWarehouse } from '../../services/shared/warehouse/chdb.ts'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { bytesOf, encodeAs, eventsOf, inBatches } from './formats/file-events.ts'
import { readParquet } from './formats/read-parquet.ts'
import { event, never, openPipeline, type Pipeline } from './support/pipeline.ts'

const base = mkdtempSync(join(tmpdir(), 'tributary-known-columns-'))
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
  await warehouse.command('TRUNCATE TABLE event_properties')
  pipeline = await openPipeline(base, warehouse)
  return async () => pipeline.close()
})

test('known columns are there without values, and count into types', async () => {
  const known = new Map(
    Object.entries(
      columnsOf([
        { path: 'a', type: 'Int64' },
        { path: 'a', type: 'Float64' },
        { path: 'b', type: 'Bool' },
        { path: 'c', type: 'Int64' },
        { path: 'c', type: 'String' },
        { path: 'd.e', type: 'Array(Nullable(Int64))' },
        { path: 'when', type: 'DateTime64(9)' },
        { path: 'keen.id', type: 'Int64' },
        { path: 'x..y', type: 'Int64' },
      ]),
    ),
  )
  const events = inBatches(eventsOf(['{"a":1,"c":2}', '{"f":true}']))
  const { types, rows } = await readParquet(await bytesOf(encodeAs('parquet', events, undefined, known)))
  const own = Object.fromEntries(Object.entries(types).filter(([name]) => !name.startsWith('keen.')))
  expect(own).toEqual({ a: 'DOUBLE', b: 'BOOLEAN', c: 'TEXT', 'd.e': 'TEXT', f: 'BOOLEAN', when: 'TEXT' })
  expect(rows.map(({ a, b, c, f, when }) => ({ a, b, c, f, when }))).toEqual([
    { a: 1, b: null, c: '2', f: null, when: null },
    { a: null, b: null, c: null, f: true, when: null },
  ])
  const csv = await bytesOf(encodeAs('csv.gz', events, undefined, known))
  expect(gunzipSync(csv).toString().split('\r\n')[0]).toBe('keen.timestamp,keen.created_at,keen.id,a,b,c,d.e,f,when')
})

test('a file has at most 2,000 columns, known ones among them', async () => {
  const known = new Map(Array.from({ length: 1_999 }, (_, i) => [`known${i}`, 1] as const))
  const text = JSON.stringify({ first: 1, second: 2, known7: 'seven' })
  const bytes = await bytesOf(encodeAs('parquet', inBatches(eventsOf([text])), undefined, known))
  const { types, rows } = await readParquet(bytes)
  expect(Object.keys(types)).toHaveLength(3 + 2_000 + 1)
  expect(rows[0]).toMatchObject({ first: 1n, known7: 'seven', _rest: '{"second":2}' })
})

const course = (stream: string, filters: readonly unknown[] = []): Course => ({
  project: 'p',
  stream,
  createdAtMs: 1_000,
  course: 'main',
  version: '1',
  span: { start_ms: 0, end_ms: null },
  layout: {
    format: 'parquet',
    prefix: '',
    collections: null,
    filters: [...filters],
    cadence_minutes: 1,
    target_bytes: 1e9,
  },
})

/** Runs until the course's next delivery is made; gives the columns of the file that came. */
async function deliver(which: Course, sequence: number, catalogue: ColumnCatalogue | undefined) {
  const target = await openFolderBucket(join(base, `target-${which.stream}`))
  const stop = new AbortController()
  const states: CourseState[] = []
  const streams = {
    courses: () => [which],
    open: async () => target,
    report: (_: unknown, state: CourseState) => {
      states.push(state)
      if (state.sequence >= sequence) stop.abort()
    },
  }
  const registry = new Registry()
  const logger = { info: () => undefined, warn: () => undefined }
  const settings = { ...DELIVERY_DEFAULTS, tickMs: 10, minuteMs: 20 }
  const common = { log: pipeline.log, archive: pipeline.bucket, folder: join(base, 'deliveries'), registry, logger }
  await runDeliveries({ ...common, streams, catalogue, settings, now: Date.now }, stop.signal)
  const bytes = await readWhole(target, String(states.at(-1)?.last_file), never)
  const { types } = await readParquet(bytes ?? Buffer.alloc(0))
  const failures = (await registry.getSingleMetricAsString('deliveries_catalogue_failures_total')).split(' ').at(-1)
  const own = Object.fromEntries(Object.entries(types).filter(([name]) => !name.startsWith('keen.')))
  return { types: own, catalogueFailures: Number(failures) }
}

const sendAndLoad = async (bodies: readonly unknown[]): Promise<void> => {
  await pipeline.send(
    0,
    bodies.map((body) => event(body)),
  )
  await pipeline.exportAll()
  await pipeline.loadAll()
}

test('the files of a collection have the columns that its events ever had', async () => {
  const catalogue = columnCatalogue(async () => warehouse)
  const stream = course(`s-${randomUUID()}`)
  await sendAndLoad([{ a: 1, b: { c: 'x' }, day: '2026-01-31' }, { a: 2 }])
  const first = { a: 'INT64', 'b.c': 'TEXT', day: 'TEXT' }
  expect((await deliver(stream, 1, catalogue)).types).toEqual(first)
  await sendAndLoad([{ a: 1.5 }])
  expect((await deliver(stream, 2, catalogue)).types).toEqual({ ...first, a: 'DOUBLE' })
  await sendAndLoad([{ a: 3, e: true }])
  // The catalogue knows of 1.5, though this file has whole numbers alone.
  expect((await deliver(stream, 3, catalogue)).types).toEqual({ ...first, a: 'DOUBLE', e: 'BOOLEAN' })
  await sendAndLoad([{ a: 4 }])
  const broken = columnCatalogue(async () => Promise.reject(new Error('away')))
  expect(await deliver(stream, 4, broken)).toEqual({
    types: { ...first, a: 'DOUBLE', e: 'BOOLEAN' },
    catalogueFailures: 1,
  })
})

test('a stream with filters shows no columns of events that it leaves out', async () => {
  await sendAndLoad([
    { customer: 'a', plan: 1 },
    { customer: 'b', secret: 2 },
  ])
  const filters = [{ property_name: 'customer', operator: 'eq', property_value: 'a' }]
  const { types } = await deliver(
    course(`s-${randomUUID()}`, filters),
    1,
    columnCatalogue(async () => warehouse),
  )
  expect(types).toEqual({ customer: 'TEXT', plan: 'INT64' })
})

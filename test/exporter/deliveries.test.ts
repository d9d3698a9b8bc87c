import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { parquetReadObjects } from 'hyparquet'
import { Registry } from 'prom-client'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { DELIVERY_DEFAULTS, type DeliverySettings } from '../../services/exporter/deliveries/settings.ts'
import type { Course, CourseState, Streams } from '../../services/exporter/deliveries/stream.ts'
import { runDeliveries } from '../../services/exporter/deliveries/worker.ts'
import { EXPORTER_DEFAULTS } from '../../services/exporter/settings.ts'
import { EXPORTER_GROUP, runExporter } from '../../services/exporter/worker.ts'
import { readWhole } from '../../services/shared/bucket/body.ts'
import { openFolderBucket } from '../../services/shared/bucket/folder/open.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { AppError } from '../../services/shared/errors.ts'
import { encodeEvent } from '../../services/shared/events/codec.ts'
import { idText, type LoggedEvent } from '../../services/shared/events/event.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../../services/shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../../services/shared/log/topics.ts'

const base = mkdtempSync(join(tmpdir(), 'tributary-deliveries-'))
const T0 = Date.UTC(2026, 0, 1, 12)
const HOUR_MS = 3_600_000
const PARTITIONS = 2
const signal = AbortSignal.timeout(600_000)
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

let log: EventLog
let archive: Bucket
let folder: string

beforeEach(async () => {
  folder = mkdtempSync(join(base, 't-'))
  log = await openLmdbLog({ folder: join(folder, 'log') })
  await log.ensureTopics(topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 }))
  archive = await openFolderBucket(join(folder, 'archive'))
  return async () => {
    await log.close()
    await rm(folder, { recursive: true, force: true })
  }
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

const event = (body: unknown, more: Partial<LoggedEvent> = {}): LoggedEvent => ({
  project: 'p',
  collection: 'visits',
  id: Buffer.from(randomUUID().replaceAll('-', ''), 'hex'),
  timestampMs: T0,
  createdAtMs: T0,
  repeatKey: null,
  properties: Buffer.from(JSON.stringify(body)),
  ...more,
})

/** Puts events into the log and from there into the archive. */
async function archiveEvents(events: readonly LoggedEvent[], rangeBytesMax = 2_000): Promise<void> {
  const messages = events.map((one, index) => ({ partition: index % PARTITIONS, key: null, value: encodeEvent(one) }))
  if (messages.length > 0) await log.append(EVENTS_TOPIC, messages)
  const stop = new AbortController()
  const settings = { ...EXPORTER_DEFAULTS, rangeAgeMs: 20, rangeBytesMax }
  const common = {
    log,
    folder: join(folder, 'exporter'),
    registry: new Registry(),
    settings,
    logger: silent,
    now: Date.now,
  }
  const run = runExporter({ ...common, bucket: archive }, stop.signal)
  await until(async () => {
    const committed = await log.committed(EVENTS_TOPIC, EXPORTER_GROUP)
    return (await log.ends(EVENTS_TOPIC)).every(({ partition, end }) => {
      const at = committed.get(partition)
      return end === 0n || (at?.offset === end && at.metadata === '')
    })
  })
  stop.abort()
  await run
}

async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it did not come to that')
    await delay(5)
  }
}

const course = (stream: string, over: Partial<Course['layout']> = {}, more: Partial<Course> = {}): Course => ({
  project: 'p',
  stream,
  createdAtMs: 1_000,
  course: 'main',
  version: '1',
  span: { start_ms: 0, end_ms: null },
  ...more,
  layout: {
    format: 'jsonl.gz',
    prefix: '{project}/{collection}/{year}-{month}-{day}/{hour}/',
    collections: null,
    filters: [],
    cadence_minutes: 1,
    target_bytes: 1e9,
    ...over,
  },
})

interface Target {
  readonly bucket: Bucket
  readonly course: Course
}

const targetOf = async (made: Course): Promise<Target> => ({
  course: made,
  bucket: await openFolderBucket(join(folder, 'targets', made.stream)),
})

/** Runs deliveries until `isDone` says so of the streams' states. */
async function deliver(
  targets: readonly Target[],
  isDone: (states: ReadonlyMap<string, CourseState>, registry: Registry) => boolean | Promise<boolean>,
  settings: Partial<DeliverySettings> = {},
) {
  const states = new Map<string, CourseState>()
  const history: { stream: string; state: CourseState }[] = []
  const registry = new Registry()
  const streams: Streams = {
    courses: () => targets.map((target) => target.course),
    open: async ({ stream }) => {
      const found = targets.find((target) => target.course.stream === stream)
      if (found === undefined) throw new Error('no such stream')
      return found.bucket
    },
    report: ({ stream }, state) => {
      states.set(stream, state)
      history.push({ stream, state })
    },
  }
  const stop = new AbortController()
  const fast = { ...DELIVERY_DEFAULTS, tickMs: 10, minuteMs: 50, retryDelayMs: 10, retryDelayMaxMs: 50, ...settings }
  const common = { log, archive, streams, folder: join(folder, 'exporter'), registry, logger: silent, now: Date.now }
  const run = runDeliveries({ ...common, settings: fast }, stop.signal)
  try {
    await Promise.race([until(async () => isDone(states, registry)), run])
  } finally {
    stop.abort()
    await run
  }
  return { states, history, registry }
}

const keysOf = async (bucket: Bucket, prefix = ''): Promise<string[]> => {
  const found: string[] = []
  for await (const { key } of bucket.list(prefix, { signal })) found.push(key)
  return found
}
const isFile = (key: string): boolean => !key.includes('_manifests/')
const manifestsOf = async (bucket: Bucket): Promise<string[]> => (await keysOf(bucket)).filter((key) => !isFile(key))

const linesOf = async (bucket: Bucket): Promise<Record<string, unknown>[]> => {
  const lines: Record<string, unknown>[] = []
  for (const key of (await keysOf(bucket)).filter(isFile)) {
    const bytes = (await readWhole(bucket, key, signal)) ?? Buffer.alloc(0)
    const text = (key.endsWith('.zst') ? zstdDecompressSync(bytes) : gunzipSync(bytes)).toString()
    lines.push(
      ...text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    )
  }
  return lines
}
const idsOf = (lines: readonly Record<string, unknown>[]): string[] =>
  lines.map(({ keen }) => (keen as { id: string }).id).toSorted()
const ids = (events: readonly LoggedEvent[]): string[] => events.map(({ id }) => idText(id)).toSorted()

test('a stream gets each event of its project once, as files by collection and hour, and a manifest of them', async () => {
  const mine = Array.from({ length: 60 }, (_, n) =>
    event({ n }, { collection: n % 2 === 0 ? 'visits' : 'sales', createdAtMs: T0 + (n % 3) * HOUR_MS }),
  )
  await archiveEvents([...mine, ...Array.from({ length: 10 }, (_, n) => event({ n }, { project: 'another' }))])
  const target = await targetOf(course('all'))
  const { states } = await deliver([target], (now) => (now.get('all')?.sequence ?? 0) >= 1)
  const lines = await linesOf(target.bucket)
  expect(idsOf(lines)).toEqual(ids(mine))
  expect(lines[0]).toMatchObject({
    keen: { created_at: expect.any(String) as string },
    n: expect.any(Number) as number,
  })
  const keys = await keysOf(target.bucket)
  expect(keys.filter(isFile).map((key) => key.replace(/[^/]*$/, ''))).toEqual(
    ['sales', 'visits'].flatMap((name) => [12, 13, 14].map((hour) => `p/${name}/2026-01-01/${hour}/`)),
  )
  const [manifestKey = ''] = keys.filter((key) => !isFile(key))
  expect(manifestKey).toMatch(/^p\/_manifests\/all-rs-0000000001\.json$/)
  const manifest = JSON.parse(String(await readWhole(target.bucket, manifestKey, signal))) as {
    events: number
    files: { key: string }[]
  }
  expect(manifest.events).toBe(60)
  expect(manifest.files.map(({ key }) => key).toSorted()).toEqual(keys.filter(isFile))
  expect(states.get('all')).toMatchObject({ state: 'running', events: 60, files: 6, lag_seconds: 0 })
})

test('what comes later is delivered later, once, by another process too', async () => {
  const target = await targetOf(course('all'))
  const sent: LoggedEvent[] = []
  for (let round = 1; round <= 3; round++) {
    const more = Array.from({ length: 20 }, (_, n) => event({ round, n }))
    sent.push(...more)
    await archiveEvents(more)
    // A manifest comes after its files.
    await deliver([target], async () => (await manifestsOf(target.bucket)).length >= round)
    expect(idsOf(await linesOf(target.bucket))).toEqual(ids(sent))
  }
  expect(await manifestsOf(target.bucket)).toHaveLength(3)
})

test('filters, collections and the start leave out what they should', async () => {
  const events = Array.from({ length: 40 }, (_, n) =>
    event(
      { n, user: { plan: n % 4 === 0 ? 'pro' : 'free' } },
      { collection: `c${n % 2}`, createdAtMs: T0 + n * 60_000 },
    ),
  )
  await archiveEvents(events)
  const filters = [{ property_name: 'user.plan', operator: 'eq', property_value: 'pro' }]
  const span = { start_ms: T0 + 10 * 60_000, end_ms: null }
  const target = await targetOf(course('some', { filters, collections: ['c0'] }, { span }))
  await deliver([target], (now) => (now.get('some')?.sequence ?? 0) >= 1)
  const wanted = events.filter((_, n) => n % 4 === 0 && n >= 10)
  expect(idsOf(await linesOf(target.bucket))).toEqual(ids(wanted))
})

test('a back-fill delivers the events of its time and is done', async () => {
  const events = Array.from({ length: 30 }, (_, n) => event({ n }, { createdAtMs: T0 + n * 60_000 }))
  await archiveEvents(events, 300)
  const span = { start_ms: T0 + 5 * 60_000, end_ms: T0 + 15 * 60_000 }
  const target = await targetOf(course('back', {}, { span, course: 'b1' }))
  const { states } = await deliver([target], (now) => now.get('back')?.state === 'done', { deliveryBytesMax: 400 })
  expect(idsOf(await linesOf(target.bucket))).toEqual(ids(events.slice(5, 15)))
  expect(states.get('back')?.sequence).toBeGreaterThan(2) // cut into several
})

test('each format can be read', async () => {
  const events = Array.from({ length: 25 }, (_, n) => event({ n, text: `t${n}` }))
  await archiveEvents(events)
  const zst = await targetOf(course('zst', { format: 'jsonl.zst' }))
  const parquet = await targetOf(course('parquet', { format: 'parquet' }))
  const csv = await targetOf(course('csv', { format: 'csv.gz' }))
  const avro = await targetOf(course('avro', { format: 'avro' }))
  const all = [zst, parquet, csv, avro]
  await deliver(all, (now) => all.every((one) => (now.get(one.course.stream)?.sequence ?? 0) >= 1))
  expect(idsOf(await linesOf(zst.bucket))).toEqual(ids(events))
  const bytesOf = async ({ bucket }: Target): Promise<Buffer> => {
    const [key = ''] = (await keysOf(bucket)).filter(isFile)
    return (await readWhole(bucket, key, signal)) ?? Buffer.alloc(0)
  }
  const file = await bytesOf(parquet)
  const rows = await parquetReadObjects({
    file: file.buffer.slice(file.byteOffset, file.byteOffset + file.length) as ArrayBuffer,
    compressors: { ZSTD: (input) => zstdDecompressSync(input) },
  })
  expect(rows.map((row) => row['keen.id'] as string).toSorted()).toEqual(ids(events))
  expect(
    gunzipSync(await bytesOf(csv))
      .toString()
      .trimEnd()
      .split('\r\n'),
  ).toHaveLength(26)
  expect((await bytesOf(avro)).subarray(0, 3).toString()).toBe('Obj')
})

test('files are cut at the size that was asked for', async () => {
  await archiveEvents(Array.from({ length: 50 }, (_, n) => event({ n, filler: 'x'.repeat(1_000) })))
  const target = await targetOf(course('cut', { target_bytes: 10_000 }))
  await deliver([target], (now) => (now.get('cut')?.sequence ?? 0) >= 1)
  const files = (await keysOf(target.bucket)).filter(isFile)
  expect(files.map((key) => key.slice(-'0001.jsonl.gz'.length))).toEqual(
    Array.from({ length: files.length }, (_, index) => `000${index + 1}.jsonl.gz`),
  )
  expect(files.length).toBeGreaterThan(4)
})

/** A bucket that fails as it is told to. */
function failing(bucket: Bucket, why: () => AppError | undefined): Bucket {
  return {
    ...bucket,
    put: async (key, body, options) => {
      const error = why()
      if (error !== undefined) throw error
      await bucket.put(key, body, options)
    },
  }
}
const refusal = (reason: string): AppError => new AppError('BUCKET_REFUSED', 'no', { details: { reason } })

describe('a bucket that fails', () => {
  test('is told of, holds nobody else up, and gets everything in the end', async () => {
    const target = await targetOf(course('broken'))
    const healthy = await targetOf(course('healthy'))
    let isBroken = true
    const broken = { ...target, bucket: failing(target.bucket, () => (isBroken ? refusal('forbidden') : undefined)) }
    const sent = Array.from({ length: 20 }, (_, n) => event({ n }))
    await archiveEvents(sent)
    const { history } = await deliver([broken, healthy], async (now) => {
      if (now.get('broken')?.state === 'blocked' && (now.get('healthy')?.sequence ?? 0) >= 1) isBroken = false
      return (now.get('broken')?.sequence ?? 0) >= 1
    })
    const states = history.filter(({ stream }) => stream === 'broken').map(({ state }) => state)
    expect(states[0]).toMatchObject({ state: 'blocked', reason: 'forbidden' })
    expect(states.at(-1)).toMatchObject({ state: 'running', reason: null })
    expect(idsOf(await linesOf(target.bucket))).toEqual(ids(sent))
    expect(idsOf(await linesOf(healthy.bucket))).toEqual(ids(sent))
  })

  test('falls behind, and its lag says how far, whoever takes the delivery up', async () => {
    const target = await targetOf(course('late'))
    const late = { ...target, bucket: failing(target.bucket, () => refusal('quota')) }
    await archiveEvents([event({ n: 1 })])
    await deliver([late], async (now, registry) => {
      const gauge = await registry.getSingleMetric('deliveries_lag_seconds')?.get()
      return (now.get('late')?.lag_seconds ?? 0) >= 1 && (gauge?.values[0]?.value ?? 0) >= 1
    })
    // Another process finds the plan, and knows from it.
    const { registry } = await deliver([late], (now) => (now.get('late')?.lag_seconds ?? 0) >= 1)
    const resumed = await registry.getSingleMetric('deliveries_resumed_total')?.get()
    expect(resumed?.values[0]?.value).toBe(1)
  })

  test('gets what came in the meantime at once, not a cadence later', async () => {
    const target = await targetOf(course('back'))
    let isBroken = true
    const back = { ...target, bucket: failing(target.bucket, () => (isBroken ? refusal('forbidden') : undefined)) }
    const [before, after] = [[event({ n: 1 })], [event({ n: 2 })]]
    await archiveEvents(before)
    await deliver(
      [back],
      async (now) => {
        if (isBroken && now.get('back')?.state === 'blocked') {
          await archiveEvents(after)
          isBroken = false
        }
        return now.get('back')?.events === 2
      },
      { minuteMs: 3_600_000 },
    )
    expect(idsOf(await linesOf(target.bucket))).toEqual(ids([...before, ...after]))
  })

  test('in the middle of a delivery gets the rest, and nothing twice', async () => {
    const target = await targetOf(course('flaky'))
    let puts = 0
    const flaky = failing(target.bucket, () =>
      ++puts % 2 === 0 ? new AppError('BUCKET_UNAVAILABLE', 'later') : undefined,
    )
    const sent = Array.from({ length: 40 }, (_, n) => event({ n }, { collection: `c${n % 8}` }))
    await archiveEvents(sent)
    await deliver([{ ...target, bucket: flaky }], (now) => (now.get('flaky')?.sequence ?? 0) >= 1)
    expect(idsOf(await linesOf(target.bucket))).toEqual(ids(sent))
  })

  test('after its answer was lost, a file is found and left', async () => {
    const target = await targetOf(course('lost'))
    let isFirst = true
    const lost: Bucket = {
      ...target.bucket,
      put: async (key, body, options) => {
        await target.bucket.put(key, body, options)
        if (isFirst) {
          isFirst = false
          throw new AppError('BUCKET_UNAVAILABLE', 'the answer got lost')
        }
      },
    }
    const sent = Array.from({ length: 4 }, (_, n) => event({ n }))
    await archiveEvents(sent)
    const { registry } = await deliver([{ ...target, bucket: lost }], (now) => (now.get('lost')?.sequence ?? 0) >= 1)
    const files = await registry.getSingleMetric('deliveries_files_total')?.get()
    expect(files?.values).toEqual([{ labels: { outcome: 'matched' }, value: 1 }])
    expect(idsOf(await linesOf(target.bucket))).toEqual(ids(sent))
  })
})

test('a change of the layout holds from the next delivery on, and a stream made anew begins anew', async () => {
  const first = await targetOf(course('changing'))
  const before = [event({ n: 1 })]
  await archiveEvents(before)
  await deliver([first], (now) => (now.get('changing')?.sequence ?? 0) >= 1)
  const changed = { ...first, course: course('changing', { prefix: 'new/' }, { version: '2' }) }
  const after = [event({ n: 2 })]
  await archiveEvents(after)
  await deliver([changed], async () => (await keysOf(first.bucket, 'new/')).length >= 2)
  expect(idsOf(await linesOf(first.bucket))).toEqual(ids([...before, ...after]))
  const anew = { ...first, course: course('changing', { prefix: 'again/' }, { createdAtMs: 2_000, version: '3' }) }
  await deliver([anew], (now) => (now.get('changing')?.sequence ?? 0) >= 1)
  expect((await keysOf(first.bucket, 'again/')).filter(isFile)).toHaveLength(1)
  expect(await linesOf(first.bucket)).toHaveLength(4)
})

import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { Registry } from 'prom-client'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import {
  archivedPartitions,
  archivedRanges,
  readManifest,
  readObject,
} from '../../services/exporter/archive/read-archive.ts'
import { ARCHIVE_FORMATS, type ArchiveFormat } from '../../services/exporter/domain/archive-format.ts'
import { formatIntent } from '../../services/exporter/domain/intent.ts'
import type { Manifest } from '../../services/exporter/domain/manifest.ts'
import { EXPORTER_DEFAULTS, type ExporterSettings } from '../../services/exporter/settings.ts'
import { EXPORTER_GROUP, runExporter } from '../../services/exporter/worker.ts'
import { bodyOf, readWhole } from '../../services/shared/bucket/body.ts'
import { openFolderBucket } from '../../services/shared/bucket/folder/open.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { encodeEvent } from '../../services/shared/events/codec.ts'
import { idText, type LoggedEvent, REPEAT_WINDOW_MS } from '../../services/shared/events/event.ts'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../../services/shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../../services/shared/log/topics.ts'

const base = mkdtempSync(join(tmpdir(), 'tributary-exporter-'))
const T0 = Date.UTC(2026, 0, 1, 12)
const HOUR_MS = 3_600_000
const PARTITIONS = 2
const signal = AbortSignal.timeout(600_000)
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

let log: EventLog
let bucket: Bucket
let home: string

beforeEach(async () => {
  const folder = mkdtempSync(join(base, 't-'))
  home = join(folder, 'exporter')
  log = await openLmdbLog({ folder: join(folder, 'log') })
  await log.ensureTopics(topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 }))
  bucket = await openFolderBucket(join(folder, 'archive'))
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

const isCaughtUp = async (): Promise<boolean> => {
  const committed = await log.committed(EVENTS_TOPIC, EXPORTER_GROUP)
  return (await log.ends(EVENTS_TOPIC)).every(({ partition, end }) => {
    const at = committed.get(partition)
    return end === 0n || (at?.offset === end && at.metadata === '')
  })
}

interface Run {
  readonly settings?: Partial<ExporterSettings>
  readonly to?: Bucket
  readonly until?: () => Promise<boolean>
  readonly folder?: string
}

/** Runs an exporter until everything in the log is in the archive; returns its counters. */
async function exportAll({ settings = {}, to = bucket, until = isCaughtUp, folder = home }: Run = {}) {
  const stop = new AbortController()
  const registry = new Registry()
  const all = { ...EXPORTER_DEFAULTS, rangeAgeMs: 20, retryDelayMs: 5, retryDelayMaxMs: 20, ...settings }
  const run = runExporter(
    { log, bucket: to, folder, registry, settings: all, logger: silent, now: Date.now },
    stop.signal,
  )
  const ended = run.then(
    () => 'ended' as const,
    (error: unknown) => error,
  )
  const deadline = performance.now() + 20_000
  while (!(await until())) {
    if (performance.now() > deadline) throw new Error('the exporter did not come to its end')
    const first = await Promise.race([ended, delay(5)])
    if (first !== undefined) {
      if (first === 'ended') throw new Error('the exporter ended by itself')
      throw first instanceof Error ? first : new Error('the exporter failed', { cause: first })
    }
  }
  stop.abort()
  await run
  return async (name: string): Promise<Record<string, number>> => {
    const metric = await registry.getSingleMetric(`exporter_${name}`)?.get()
    return Object.fromEntries(
      (metric?.values ?? []).map(({ labels, value }) => [Object.values(labels)[0] ?? '', value]),
    )
  }
}

const manifests = async (): Promise<Manifest[]> => {
  const found: Manifest[] = []
  for (const partition of await archivedPartitions(bucket, signal)) {
    for await (const { key } of archivedRanges(bucket, partition, 0n, signal)) {
      found.push(await readManifest(bucket, key, signal))
    }
  }
  return found
}

const keys = async (prefix = ''): Promise<string[]> => {
  const found: string[] = []
  for await (const { key } of bucket.list(prefix, { signal })) found.push(key)
  return found
}

/** Everything in the archive, by event id. */
async function archived(): Promise<
  Map<string, { project: string; collection: string; properties: string; offset: bigint }>
> {
  const found = new Map<string, { project: string; collection: string; properties: string; offset: bigint }>()
  for (const { objects } of await manifests()) {
    for (const object of objects) {
      for await (const batch of readObject(bucket, object, signal)) {
        for (const { id, properties, offset } of batch) {
          expect(found.has(id), 'an event is in the archive once').toBe(false)
          found.set(id, {
            project: object.project,
            collection: object.collection,
            properties: String(properties),
            offset,
          })
        }
      }
    }
  }
  return found
}

test('an archive holds every event once, by project, hour of arrival and collection, as it was sent', async () => {
  const odd = '{"a":1.0,\n "big":12345678901234567890,"text":"line\\nbreak \u2028"}'
  const sent = [
    event({ n: 1 }),
    event({ n: 2 }, { collection: 'a/b c ü', createdAtMs: T0 + HOUR_MS }),
    event(odd, { project: 'q', timestampMs: Date.UTC(1969, 11, 31, 23, 59, 59, 999) }),
  ]
  await send(0, sent)
  await send(1, [event({ n: 4 })])
  await exportAll()
  expect((await keys('events/')).map((key) => key.replace(/[^/]*$/, ''))).toEqual([
    'events/p/2026-01-01/12/visits/',
    'events/p/2026-01-01/12/visits/',
    'events/p/2026-01-01/13/a%2Fb%20c%20%C3%BC/',
    'events/q/2026-01-01/12/visits/',
  ])
  const found = await archived()
  expect(found.size).toBe(4)
  for (const { id, project, collection, properties } of sent) {
    // A line break between tokens would end the line; a space says the same.
    expect(found.get(idText(id))).toMatchObject({
      project,
      collection,
      properties: String(properties).replace('\n', ' '),
    })
  }
  const [key = ''] = await keys('events/q/')
  const line = gunzipSync((await readWhole(bucket, key, signal)) ?? '').toString()
  expect(JSON.parse(line)).toMatchObject({
    id: idText(sent[2]?.id ?? Buffer.alloc(16)),
    timestamp: '1969-12-31T23:59:59.999Z',
    created_at: '2026-01-01T12:00:00.000Z',
    offset: 2,
  })
})

test('manifests tell of every record of a partition, without a gap', async () => {
  for (let i = 0; i < 30; i++) await send(0, [event({ i }), Buffer.from('no event'), event({ i })])
  await exportAll({ settings: { rangeBytesMax: 600 } })
  const all = await manifests()
  expect(all.length).toBeGreaterThan(3)
  let next = 0n
  for (const { first, last, records, events, unusable, objects, appended } of all) {
    expect(BigInt(first)).toBe(next)
    next = BigInt(last) + 1n
    expect(records).toBe(Number(next - BigInt(first)))
    expect(events + (unusable['not_avro'] ?? 0)).toBe(records)
    expect(objects.reduce((sum, object) => sum + object.events, 0)).toBe(events)
    expect(appended).not.toBeNull()
  }
  expect(next).toBe(90n)
})

test('the same records make the same bytes, wherever they waited', async () => {
  const sent = Array.from({ length: 400 }, (_, i) =>
    event({ i, text: 'x'.repeat(i) }, { collection: `c${i % 7}`, createdAtMs: T0 + (i % 3) * HOUR_MS }),
  )
  await send(0, sent)
  const elsewhere = await openFolderBucket(mkdtempSync(join(base, 'second-')))
  const first = await exportAll()
  expect(Object.values(await first('spilled_bytes_total'))).toEqual([0])
  // Another group's worth of work: the same log read again from its start, with no memory to speak of.
  const again = await exportAgain(elsewhere, { memoryBytesMax: 1 })
  expect(Object.values(await again('spilled_bytes_total'))[0]).toBeGreaterThan(50_000)
  const mine = await keys()
  expect(mine.length).toBeGreaterThan(20)
  for (const key of mine) {
    const [a, b] = [await readWhole(bucket, key, signal), await readWhole(elsewhere, key, signal)]
    expect(b?.equals(a ?? Buffer.alloc(0)), key).toBe(true)
  }
  expect(readdirSync(join(home, 'spool'))).toEqual([])
})

/** As an exporter does that crashed before it committed anything: the intents stand, the work is done again. */
async function exportAgain(to: Bucket, settings: Partial<ExporterSettings> = {}, format: ArchiveFormat = 'jsonl.gz') {
  const ranges = (await manifests()).map(({ first, last, partition }) => ({
    first: BigInt(first),
    last: BigInt(last),
    partition,
  }))
  const stop = new AbortController()
  const isRewound = Promise.withResolvers<void>()
  let left = PARTITIONS
  const rewinding = log.consume({ topic: EVENTS_TOPIC, group: EXPORTER_GROUP, signal: stop.signal }, async (claim) => {
    const range = ranges.find(({ partition }) => partition === claim.partition)
    if (range !== undefined) await claim.commit(range.first, formatIntent({ ...range, format }))
    left -= 1
    if (left === 0) isRewound.resolve()
    await new Promise<void>((resolve) => claim.signal.addEventListener('abort', () => resolve(), { once: true }))
  })
  await isRewound.promise
  stop.abort()
  await rewinding
  return exportAll({ to, settings })
}

describe('done again, a range', () => {
  test('finds its own objects and leaves them', async () => {
    await send(0, [event({ n: 1 }), event({ n: 2 }, { collection: 'other' })])
    await exportAll()
    const before = await keys()
    const again = await exportAgain(bucket)
    expect(await again('objects_total')).toEqual({ matched: 3 })
    expect(await again('ranges_total')).toEqual({ replay: 1 })
    expect(await keys()).toEqual(before)
  })

  test('finds them without their metadata too, as after a copy', async () => {
    await send(0, [event({ n: 1 })])
    await exportAll()
    const [key = ''] = await keys('events/')
    const bytes = (await readWhole(bucket, key, signal)) ?? Buffer.alloc(0)
    await bucket.delete(key, signal)
    await bucket.put(key, bodyOf(bytes), { contentType: 'x/y', signal })
    const again = await exportAgain(bucket)
    expect(await again('objects_total')).toEqual({ matched: 2 })
  })

  test('leaves a foreign object alone and loses nothing', async () => {
    const sent = event({ n: 1 })
    await send(0, [sent])
    const to = mkdtempSync(join(base, 'foreign-'))
    const target = await openFolderBucket(to)
    await exportAll({ to: target })
    const [key = ''] = await keysOf(target, 'events/')
    await bucket.put(key, bodyOf('not ours'), { contentType: 'x/y', signal })
    for (const manifest of await manifestsOf(target)) expect(manifest.objects[0]?.key).toBe(key)
    // Rewind by the manifests of the first, and write to the bucket in which something else has the name.
    const first = bucket
    bucket = target
    const counters = await exportAgain(first)
    bucket = first
    expect(await counters('objects_total')).toEqual({ mismatched: 1, written: 2 })
    expect(String(await readWhole(bucket, key, signal))).toBe('not ours')
    expect([...(await archived()).keys()]).toEqual([idText(sent.id)])
  })
})

const keysOf = async (of: Bucket, prefix: string): Promise<string[]> => {
  const found: string[] = []
  for await (const { key } of of.list(prefix, { signal })) found.push(key)
  return found
}
const manifestsOf = async (of: Bucket): Promise<Manifest[]> =>
  Promise.all((await keysOf(of, 'manifests/')).map(async (key) => readManifest(of, key, signal)))

describe('repeats', () => {
  const key = (n: number): Buffer => Buffer.alloc(16, n)

  test('are left out: within a range, from range to range, and after the window they are kept', async () => {
    const kept = [
      event({ n: 'first' }, { repeatKey: key(1) }),
      event({ n: 'other collection' }, { repeatKey: key(1), collection: 'other' }),
      event({ n: 'after the window' }, { repeatKey: key(1), createdAtMs: T0 + REPEAT_WINDOW_MS + 1 }),
    ]
    await send(0, [kept[0] as LoggedEvent, event({ n: 'again' }, { repeatKey: key(1) })])
    await exportAll()
    await send(0, [
      event({ n: 'in the next range' }, { repeatKey: key(1), createdAtMs: T0 + REPEAT_WINDOW_MS }),
      ...kept.slice(1),
    ])
    const counters = await exportAll()
    expect(Object.values(await counters('events_repeated_total'))).toEqual([1])
    expect([...(await archived()).keys()].toSorted()).toEqual(kept.map(({ id }) => idText(id)).toSorted())
  })

  test('are known on another machine, which has nothing but the archive', async () => {
    const first = event({ n: 1 }, { repeatKey: key(2) })
    await send(0, [first])
    await exportAll()
    await send(0, [event({ n: 2 }, { repeatKey: key(2) })])
    await exportAll({ folder: join(home, 'another-machine') })
    expect([...(await archived()).keys()]).toEqual([idText(first.id)])
  })

  test('are decided the same when a range is done again', async () => {
    const first = event({ n: 1 }, { repeatKey: key(3) })
    await send(0, [first, event({ n: 2 }, { repeatKey: key(3) })])
    await exportAll()
    const again = await exportAgain(bucket)
    expect(await again('objects_total')).toEqual({ matched: 2 })
    expect([...(await archived()).keys()]).toEqual([idText(first.id)])
  })
})

test('zstd makes objects of its own', async () => {
  await send(0, [event({ n: 1 })])
  await exportAll({ settings: { format: 'jsonl.zst' } })
  const [key = ''] = await keys('events/')
  expect(key).toMatch(/\.jsonl\.zst$/)
  expect(JSON.parse(zstdDecompressSync((await readWhole(bucket, key, signal)) ?? '').toString())).toMatchObject({
    properties: { n: 1 },
  })
  expect((await archived()).size).toBe(1)
})

test('the same events have the same content in every format, and Avro files have the same bytes', async () => {
  await send(0, [event({ n: 1 }), event({ n: 2 }, { repeatKey: Buffer.alloc(16, 7) })])
  const contents = async (): Promise<string[]> =>
    (await manifests()).flatMap(({ objects }) => objects.map((object) => object.content_sha256))
  await exportAll({ settings: { format: 'avro' } })
  const [avro, expected, [key = '']] = [await archived(), await contents(), await keys('events/')]
  expect(key).toMatch(/\.avro$/)
  const first = bucket
  for (const format of ARCHIVE_FORMATS) {
    const elsewhere = await openFolderBucket(mkdtempSync(join(base, 'format-')))
    await exportAgain(elsewhere, {}, format)
    bucket = elsewhere
    expect(await archived()).toEqual(avro)
    expect(await contents()).toEqual(expected)
    if (format === 'avro') {
      expect(await readWhole(elsewhere, key, signal)).toEqual(await readWhole(first, key, signal))
    }
    bucket = first
  }
})

test('a range is sealed by its objects, and early when the disk has no room for it', async () => {
  for (let i = 0; i < 40; i++) await send(0, [event({ i }, { collection: `c${i}` })])
  const counters = await exportAll({
    settings: { rangeObjectsMax: 10, rangeAgeMs: 600_000, drainMs: 10 },
    until: async () => (await manifests()).length > 0,
  })
  expect(Object.keys(await counters('ranges_total'))).toContain('objects')
  const early = await exportAll({
    settings: { memoryBytesMax: 1, spoolBytesMax: 1, rangeAgeMs: 600_000 },
    until: async () => (await archived()).size === 40,
  })
  expect(Object.keys(await early('ranges_total'))).toContain('spool')
})

test('a damaged archive does not pass for a whole one', async () => {
  await send(0, [event({ n: 1 })])
  await exportAll()
  const [manifest] = await manifests()
  const [object] = manifest?.objects ?? []
  if (object === undefined) throw new Error('no object')
  const read = async (over: Partial<typeof object>) => {
    for await (const _ of readObject(bucket, { ...object, ...over }, signal)) continue
  }
  await read({})
  await expect(read({ sha256: '0'.repeat(64) })).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
  await expect(read({ bytes: object.bytes + 1 })).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
  await expect(read({ events: 2 })).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
  await expect(read({ format: 'avro' })).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
  await expect(read({ format: 'jsonl.zst' })).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
  await expect(read({ key: 'events/none' })).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import {
  archivedPartitions,
  archivedRanges,
  readManifest,
  readObject,
} from '../../services/exporter/archive/read-archive.ts'
import { Compaction } from '../../services/exporter/compaction/compaction.ts'
import { CompactionMetrics } from '../../services/exporter/compaction/metrics.ts'
import { readPosition } from '../../services/exporter/compaction/position.ts'
import { COMPACTION_DEFAULTS, type CompactionSettings } from '../../services/exporter/compaction/settings.ts'
import { survey } from '../../services/exporter/compaction/survey.ts'
import { carryOut } from '../../services/exporter/deliveries/carry-out.ts'
import { DeliveryMetrics } from '../../services/exporter/deliveries/metrics.ts'
import { DELIVERY_DEFAULTS } from '../../services/exporter/deliveries/settings.ts'
import { manifestKey } from '../../services/exporter/domain/archive-key.ts'
import { compactionKey } from '../../services/exporter/domain/compaction.ts'
import type { DeliveryPlan } from '../../services/exporter/domain/delivery.ts'
import type { ArchivedObject } from '../../services/exporter/domain/manifest.ts'
import { MemoryBudget } from '../../services/exporter/spool/memory-budget.ts'
import { bodyOf } from '../../services/shared/bucket/body.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import type { LoggedEvent } from '../../services/shared/events/event.ts'
import { Slots } from '../../services/shared/slots.ts'
import { MemoryBucketState } from '../support/memory-bucket.ts'
import { archiveInMemory, findingsOf, namedObjects, openQuietly, readByManifests } from './support/memory-archive.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const T0 = Date.UTC(2026, 0, 1, 12)
const base = mkdtempSync(join(tmpdir(), 'tributary-compaction-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
/** Five events: ranges go over the ends of hours. */
const RANGE_BYTES = 700
const never = new AbortController().signal

const event = (minutes: number, n: number, more: Partial<LoggedEvent> = {}): LoggedEvent => ({
  project: 'p',
  collection: 'visits',
  id: Buffer.alloc(16, `${n}-${minutes}-`),
  timestampMs: T0,
  createdAtMs: T0 + minutes * MINUTE,
  repeatKey: null,
  properties: Buffer.from(`{"n":${n}}`),
  ...more,
})

/** Two partitions over three hours, an event every five minutes. */
const someEvents = (): LoggedEvent[][] =>
  [0, 1].map((partition) => Array.from({ length: 36 }, (_, n) => event(n * 5, partition * 1_000 + n)))

let folder: string
let state: MemoryBucketState
let bucket: Bucket
let nowMs: number

async function archived(partitions: readonly (readonly LoggedEvent[])[] = someEvents()): Promise<void> {
  state = await archiveInMemory(join(folder, 'exporter'), partitions, { rangeBytesMax: RANGE_BYTES })
  bucket = openQuietly(state)
}

beforeEach(async () => {
  folder = mkdtempSync(join(base, 't-'))
  nowMs = T0 + 24 * HOUR
  return () => rmSync(folder, { recursive: true, force: true })
})

function newCompaction(settings: Partial<CompactionSettings> = {}, archive = bucket, warnings: unknown[] = []) {
  const registry = new Registry()
  const metrics = new CompactionMetrics(registry, () => undefined)
  const logger = { info: () => undefined, warn: (fields: unknown) => void warnings.push(fields) }
  const compaction = new Compaction({
    archive,
    folder: join(folder, 'upkeep'),
    settings: { ...COMPACTION_DEFAULTS, ...settings },
    metrics,
    logger,
    isArchived: async () => true,
    confirm: async () => undefined,
    signal: never,
    now: () => nowMs,
  })
  const sum = async (name: string): Promise<number> =>
    ((await registry.getSingleMetric(`compaction_${name}_total`)?.get())?.values ?? []).reduce((a, b) => a + b.value, 0)
  return { compaction, sum }
}

/** Until there is nothing more to plan. */
async function run({ compaction }: ReturnType<typeof newCompaction>): Promise<void> {
  await compaction.settle()
  while (await compaction.advance()) await compaction.settle()
}

const filesOf = (prefix = 'events/'): string[] =>
  [...state.objects.keys()].filter((key) => key.startsWith(prefix)).toSorted()
const hoursOf = (keys: readonly string[]): string[] => keys.map((key) => key.split('/')[3] ?? '')

test('an hour’s objects of all partitions become one file, and old ones go when their grace time is over', async () => {
  await archived()
  const before = await readByManifests(bucket)
  expect(filesOf().length).toBeGreaterThan(12)
  const running = newCompaction()
  await run(running)
  const merged = filesOf().filter((key) => key.includes('merged+'))
  expect(hoursOf(merged)).toEqual(['12', '13', '14'])
  expect(await readByManifests(bucket)).toEqual(before)
  // Who has read an old manifest goes on reading.
  expect(filesOf().length).toBeGreaterThan(12)
  expect(await running.compaction.settle()).toBe(false)
  nowMs += COMPACTION_DEFAULTS.graceMs
  expect(await running.compaction.settle()).toBe(true)
  expect(filesOf()).toEqual(merged)
  expect(filesOf('manifests/').every((key) => key.endsWith('.r000001.json'))).toBe(true)
  expect(await readByManifests(bucket)).toEqual(before)
  expect(await findingsOf(bucket, false)).toEqual([])
  expect(await findingsOf(bucket, true)).toEqual([])
  expect(await running.sum('files')).toBe(3)
  expect(await running.sum('objects_merged')).toBe((await running.sum('removed')) - filesOf('manifests/').length)
  // Another process has nothing left to do.
  const writes = new Set(state.objects.keys())
  await run(newCompaction())
  expect(new Set(state.objects.keys())).toEqual(writes)
})

test('a reader with manifests of before the merge reads all of it until the grace time is over', async () => {
  await archived()
  const before = await readByManifests(bucket)
  const objects = await namedObjects(bucket)
  const running = newCompaction()
  await run(running)
  nowMs += COMPACTION_DEFAULTS.graceMs - 1
  await running.compaction.settle()
  const read = async (): Promise<number> => {
    let events = 0
    for (const object of objects) for await (const batch of readObject(bucket, object, never)) events += batch.length
    return events
  }
  expect(await read()).toBe(before.size)
  nowMs += 1
  await running.compaction.settle()
  await expect(read()).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
})

test('hours that are open are left, and a range that goes on into one is come back to', async () => {
  await archived()
  expect(filesOf().length).toBeGreaterThan(filesOf('manifests/').length) // some ranges are of two hours
  const before = await readByManifests(bucket)
  const running = newCompaction({ graceMs: 0 })
  for (const [minutes, hours] of [
    [74, []],
    [75, ['12']],
    [134, ['12']],
    [135, ['12', '13']],
    [500, ['12', '13', '14']],
  ] as const) {
    nowMs = T0 + minutes * MINUTE
    await run(running)
    await running.compaction.settle()
    expect(hoursOf(filesOf().filter((key) => key.includes('merged+')))).toEqual(hours)
  }
  expect(filesOf()).toHaveLength(3)
  expect(await readByManifests(bucket)).toEqual(before)
})

test('it waits for the archive to have what was written to the log before', async () => {
  await archived()
  const running = newCompaction()
  const asked: number[] = []
  const waiting = new Compaction({
    archive: bucket,
    folder,
    settings: COMPACTION_DEFAULTS,
    metrics: new CompactionMetrics(new Registry(), () => undefined),
    logger: { info: () => undefined, warn: () => undefined },
    isArchived: async (beforeMs) => {
      asked.push(beforeMs)
      return false
    },
    confirm: async () => undefined,
    signal: never,
    now: () => nowMs,
  })
  await waiting.settle()
  expect(await waiting.advance()).toBe(false)
  expect(asked).toEqual([T0 + 23 * HOUR])
  expect(filesOf('compaction/')).toEqual([])
  await run(running)
  expect(filesOf('compaction/')).not.toEqual([])
})

test('a plan takes so much at most, and the next ones the rest', async () => {
  await archived()
  const before = await readByManifests(bucket)
  const running = newCompaction({ piecesMax: 3, graceMs: 0 })
  await run(running)
  await running.compaction.settle()
  expect(filesOf('compaction/').filter((key) => key.endsWith('.plan.json')).length).toBeGreaterThan(4)
  expect(await readByManifests(bucket)).toEqual(before)
  expect(filesOf().length).toBeLessThan(20)
  expect(await findingsOf(bucket, false)).toEqual([])
})

test('what has nothing to be merged is gone through once, also by the next process, and seldom written down', async () => {
  // One object a range and hour, each in a collection of its own.
  await archived([Array.from({ length: 40 }, (_, n) => event(n, n, { collection: `c${n}` }))])
  await run(newCompaction())
  expect(filesOf('compaction/')).toEqual([])
  await run(newCompaction({ rangesUnwritten: 5 }))
  expect(filesOf('compaction/')).toEqual([compactionKey(1, 'cleared'), compactionKey(1, 'plan')])
  const { plan, isDone, uncleared } = await readPosition(bucket, never)
  expect([plan?.merges, isDone, uncleared]).toEqual([[], true, []])
  await run(newCompaction({ rangesUnwritten: 5 }))
  expect(filesOf('compaction/')).toHaveLength(2)
})

test('an event of an hour to come does not hold what follows it', async () => {
  const late = event(20, 777, { createdAtMs: T0 + 900 * HOUR })
  const events = someEvents()
  // Its range was written to the log when the others of it were.
  await archived(events)
  const first = (await archivedPartitions(bucket, never))[0] ?? { epoch: '', partition: 0 }
  for await (const { key } of archivedRanges(bucket, first, 0n, never)) {
    const manifest = await readManifest(bucket, key, never)
    const [object] = manifest.objects
    if (object === undefined) throw new Error('no object')
    const ahead: ArchivedObject = { ...object, hour: new Date(late.createdAtMs).toISOString() }
    const found = JSON.stringify({ ...manifest, objects: [ahead, ...manifest.objects.slice(1)] })
    await bucket.delete(key, never)
    await bucket.put(key, bodyOf(found), { contentType: 'a/b', signal: never })
    break
  }
  const found = await survey(bucket, {}, T0 + 20 * HOUR, COMPACTION_DEFAULTS, never)
  expect(found.isFull).toBe(false)
  const ends = Object.values(found.cursor).map(Number)
  expect(Math.min(...ends)).toBeGreaterThan(60)
  expect(found.candidates.some(({ object }) => object.hour.startsWith('2026-02'))).toBe(false)
})

describe('pieces that are not as planned', () => {
  test('a damaged one leaves its merge undone, and the others are merged', async () => {
    await archived()
    const [key = ''] = filesOf('events/p/2026-01-01/12/')
    const stored = state.objects.get(key)
    if (stored === undefined) throw new Error('no object')
    const before = await readByManifests(bucket)
    const bytes = Buffer.from(stored.bytes)
    bytes[9] = (bytes[9] ?? 0) ^ 1 // the header's system
    state.objects.set(key, { ...stored, bytes })
    const warnings: unknown[] = []
    const running = newCompaction({ graceMs: 0 }, bucket, warnings)
    await run(running)
    await running.compaction.settle()
    expect(hoursOf(filesOf().filter((one) => one.includes('merged+')))).toEqual(['13', '14'])
    expect(filesOf()).toContain(key)
    expect(warnings).toHaveLength(1)
    expect(await running.sum('dropped')).toBe(1)
    expect((await findingsOf(bucket, false)).map(({ kind }) => kind)).toEqual(['damaged_object'])
    await expect(readByManifests(bucket)).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' })
    state.objects.set(key, stored)
    expect(await readByManifests(bucket)).toEqual(before)
  })

  test('one that is gone, too, and what has a merged file’s name is not touched', async () => {
    await archived()
    const [key = ''] = filesOf('events/p/2026-01-01/12/')
    state.objects.delete(key)
    const foreign = 'events/p/2026-01-01/13/visits/merged+1+1.jsonl.gz'
    await bucket.put(foreign, bodyOf('another’s'), { contentType: 'a/b', signal: never })
    const running = newCompaction({ graceMs: 0 })
    await run(running)
    await running.compaction.settle()
    expect(hoursOf(filesOf().filter((one) => one.includes('merged+')))).toEqual(['13', '14'])
    expect(String(state.objects.get(foreign)?.bytes)).toBe('another’s')
    expect(await running.sum('dropped')).toBe(2)
    const kinds = (await findingsOf(bucket, false)).map(({ kind, key: of }) => [kind, of])
    expect(kinds).toEqual([
      ['missing_object', key],
      ['foreign', foreign],
    ])
  })
})

test('a delivery of one plan has the same bytes before, after, and when objects are merged in the middle of it', async () => {
  await archived()
  const manifests: string[] = []
  for (const partition of await archivedPartitions(bucket, never)) {
    for await (const range of archivedRanges(bucket, partition, 0n, never)) manifests.push(manifestKey(range))
  }
  const plan: DeliveryPlan = {
    version: 1,
    project: 'p',
    stream: 's',
    sequence: 1,
    layout: {
      format: 'jsonl.gz',
      prefix: '{collection}/{hour}/',
      collections: null,
      filters: [],
      cadence_minutes: 30,
      target_bytes: 900,
    },
    span: { start_ms: 0, end_ms: null },
    manifests,
    cursor: {},
  }
  const deliver = async (from = bucket): Promise<Map<string, string>> => {
    const target = new MemoryBucketState()
    const deps = {
      archive: from,
      readManifest: async (key: string) => readManifest(bucket, key, never),
      folder,
      budget: new MemoryBudget(1e9),
      settings: DELIVERY_DEFAULTS,
      metrics: new DeliveryMetrics(new Registry()),
      making: new Slots(1),
      sending: new Slots(1),
    }
    const course = { project: 'p', stream: 's', createdAtMs: 1, course: 'main' }
    await carryOut(deps, openQuietly(target), course, plan, new Map(), never)
    return new Map([...target.objects].map(([key, { bytes }]) => [key, bytes.toString('base64')]))
  }
  const before = await deliver()
  expect(before.size).toBeGreaterThan(6)
  const running = newCompaction({ graceMs: 0 })
  let gets = 0
  const moving: Bucket = {
    ...bucket,
    get: async (key, signal, range) => {
      if (key.startsWith('events/')) gets += 1
      if (gets === 3) {
        await run(running)
        await running.compaction.settle()
      }
      return bucket.get(key, signal, range)
    },
  }
  expect(await deliver(moving)).toEqual(before)
  expect(filesOf()).toHaveLength(3)
  expect(await deliver()).toEqual(before)
})

describe('an audit of merged files', () => {
  beforeEach(async () => {
    await archived()
    const running = newCompaction({ graceMs: 0 })
    await run(running)
    await running.compaction.settle()
  })
  const kinds = async (quick: boolean): Promise<unknown[]> =>
    (await findingsOf(bucket, quick)).map(({ level, kind, key }) => `${level} ${kind} ${key}`)
  const rewrite = (key: string, change: (bytes: Buffer) => Buffer): void => {
    const stored = state.objects.get(key)
    if (stored !== undefined) state.objects.set(key, { ...stored, bytes: change(stored.bytes) })
  }

  test.each([false, true])(
    'tells of one that is gone once, and of one that was cut short (quick: %j)',
    async (quick) => {
      const [gone = '', short = ''] = filesOf()
      state.objects.delete(gone)
      rewrite(short, (bytes) => bytes.subarray(0, -30))
      const found = await kinds(quick)
      expect(found).toContain(`problem missing_object ${gone}`)
      expect(found.filter((one) => String(one).includes(gone))).toHaveLength(1)
      expect(found).toContain(`problem damaged_object ${short}`)
      expect(found.every((one) => /missing_object|damaged_object/.test(String(one)))).toBe(true)
    },
  )

  test('tells of a byte that is another', async () => {
    const [key = ''] = filesOf()
    rewrite(key, (bytes) => {
      const other = Buffer.from(bytes)
      other[9] = (other[9] ?? 0) ^ 1
      return other
    })
    expect(await kinds(false)).toEqual([`problem damaged_object ${key}`])
  })

  test.each([false, true])(
    'tells of bytes that no manifest names, and of a file without a plan (quick: %j)',
    async (quick) => {
      const [key = ''] = filesOf()
      for (const manifest of filesOf('manifests/')) {
        const { objects, ...rest } = await readManifest(bucket, manifest, never)
        const [object] = objects
        if (object?.key !== key || object.at === 0) continue
        const without = {
          ...rest,
          objects: objects.slice(1),
          events: rest.events - object.events,
          erased: object.events,
        }
        state.objects.set(manifest, { bytes: Buffer.from(JSON.stringify(without)), metadata: {} })
        break
      }
      expect(await kinds(quick)).toEqual([`problem uncovered ${key}`])
      const [, , other = ''] = filesOf()
      const unplanned = other.replace('merged+1+', 'merged+99+')
      await bucket.put(unplanned, bodyOf('x'), { contentType: 'a/b', signal: never })
      expect(await kinds(quick)).toEqual([`problem uncovered ${key}`, `problem foreign ${unplanned}`])
    },
  )
})

test.each([false, true])(
  'an audit beside a compaction finds nothing wrong, at whatever step that is (quick: %j)',
  async (quick) => {
    const steps = await archivedSteps()
    expect(steps.length).toBeGreaterThan(25)
    for (const [index, start] of steps.entries()) {
      for (const later of [0, 10, 40]) {
        // From one state of the archive to one of some steps later, after so many calls of the audit.
        const end = steps[Math.min(steps.length - 1, index + later)] ?? start
        for (const before of later === 0 ? [0] : [8, 16, 24, 32, 40, 48]) {
          let calls = 0
          const moving: Bucket = new Proxy(openQuietly(start), {
            get(_target, name) {
              if (name === 'get' || name === 'list' || name === 'head') calls += 1
              const value: unknown = Reflect.get(openQuietly(calls > before ? end : start), name)
              return value
            },
          })
          const found = await findingsOf(moving, quick)
          expect(found.filter(({ level }) => level === 'problem')).toEqual([])
        }
      }
    }
  },
)

/** The archive after each change that compaction makes of it. */
async function archivedSteps(): Promise<MemoryBucketState[]> {
  await archived(someEvents().map((events) => events.slice(0, 14)))
  const steps: MemoryBucketState[] = []
  const keep = (): void => {
    const copy = new MemoryBucketState()
    for (const [key, stored] of state.objects) copy.objects.set(key, stored)
    steps.push(copy)
  }
  keep()
  const recording: Bucket = {
    ...bucket,
    put: async (key, body, options) => {
      await bucket.put(key, body, options)
      keep()
    },
    delete: async (key, signal) => {
      await bucket.delete(key, signal)
      keep()
    },
  }
  const running = newCompaction({ graceMs: 0 }, recording)
  await run(running)
  await running.compaction.settle()
  return steps
}

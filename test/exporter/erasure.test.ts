import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { audit } from '../../services/exporter/audit/audit.ts'
import { readRejected } from '../../services/exporter/audit/rejected-offsets.ts'
import {
  archivedPartitions,
  archivedRanges,
  readManifest,
  readObject,
} from '../../services/exporter/archive/read-archive.ts'
import { ARCHIVE_FORMATS } from '../../services/exporter/domain/archive-format.ts'
import { deliveredKey, deliveryText } from '../../services/exporter/domain/delivery.ts'
import { WHOLE_ARCHIVE } from '../../services/exporter/domain/scope.ts'
import { COMPACTION_DEFAULTS } from '../../services/exporter/compaction/settings.ts'
import { deliveredFiles } from '../../services/exporter/erasure/delivered-files.ts'
import { eraseArchive } from '../../services/exporter/erasure/erase-archive.ts'
import { runUpkeep } from '../../services/exporter/upkeep/worker.ts'
import type { ExporterSettings } from '../../services/exporter/settings.ts'
import { bodyOf } from '../../services/shared/bucket/body.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { type Deletion, type DeletionRecord, deletionOf } from '../../services/shared/deletions/model.ts'
import { AppError } from '../../services/shared/errors.ts'
import { idText, type LoggedEvent } from '../../services/shared/events/event.ts'
import type { Definitions } from '../../services/shared/registry/definitions.ts'
import { openChdbWarehouse } from '../../services/shared/warehouse/chdb.ts'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { memoryDefinitions } from '../support/definitions.ts'
import { event, never, openPipeline, type Pipeline, T0 } from './support/pipeline.ts'

const base = mkdtempSync(join(tmpdir(), 'tributary-erasure-'))
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

const NOW = T0 + 86_400_000
const ofAnna = [{ property_name: 'user', operator: 'eq', property_value: 'anna' }]

/** Puts a deletion among the definitions, as the API does. */
async function ask(definitions: Definitions, more: Partial<DeletionRecord> = {}): Promise<Deletion> {
  const record: DeletionRecord = {
    collection: 'visits',
    what: 'events',
    atMs: NOW,
    timeframe: null,
    filters: ofAnna,
    property: null,
    state: 'pending',
    matched: 0,
    startedAtMs: null,
    doneAtMs: null,
    ...more,
  }
  const deletion = deletionOf(await definitions.put('deletion', 'p', `d${Object.keys(more).length}`, { ...record }))
  if (deletion === null) throw new Error('no deletion')
  return deletion
}
const newDeletion = async (more: Partial<DeletionRecord> = {}): Promise<Deletion> =>
  ask(memoryDefinitions(() => NOW).definitions, more)

/** Events of anna and of others, in several ranges, projects and collections. */
async function archived(
  settings: Partial<ExporterSettings> = {},
): Promise<{ annas: LoggedEvent[]; others: LoggedEvent[] }> {
  const annas: LoggedEvent[] = []
  const others: LoggedEvent[] = []
  for (let round = 0; round < 4; round++) {
    const sent = Array.from({ length: 20 }, (_, n) =>
      event({ n, round, user: n % 3 === 0 ? 'anna' : 'bob', big: 1.5 }, { createdAtMs: T0 + round * 3_600_000 }),
    )
    const elsewhere = [event({ user: 'anna' }, { collection: 'sales' }), event({ user: 'anna' }, { project: 'q' })]
    // A file of hers alone.
    const alone = round === 3 ? [event({ user: 'anna' }, { createdAtMs: T0 + 9 * 3_600_000 })] : []
    const later = event({ user: 'anna', late: true }, { createdAtMs: NOW + 1 })
    await pipeline.send(round % 2, [...sent, ...elsewhere, ...alone, later])
    await pipeline.exportAll(settings)
    annas.push(...sent.filter((_, n) => n % 3 === 0), ...alone)
    others.push(...sent.filter((_, n) => n % 3 !== 0), ...elsewhere, later)
  }
  return { annas, others }
}

/** Ids and properties of what the manifests lead to. */
async function content(bucket: Bucket = pipeline.bucket): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const partition of await archivedPartitions(bucket, never)) {
    for await (const { key } of archivedRanges(bucket, partition, 0n, never)) {
      for (const object of (await readManifest(bucket, key, never)).objects) {
        for await (const batch of readObject(bucket, object, never)) {
          for (const { id, properties } of batch) {
            expect(found.has(id)).toBe(false)
            found.set(id, String(properties))
          }
        }
      }
    }
  }
  return found
}

/** Ids of the events in objects whose keys have this in them. */
async function idsIn(part: string): Promise<Set<string>> {
  const found = new Set<string>()
  for (const partition of await archivedPartitions(pipeline.bucket, never)) {
    for await (const { key } of archivedRanges(pipeline.bucket, partition, 0n, never)) {
      for (const object of (await readManifest(pipeline.bucket, key, never)).objects) {
        if (!object.key.includes(part)) continue
        for await (const batch of readObject(pipeline.bucket, object, never)) for (const { id } of batch) found.add(id)
      }
    }
  }
  return found
}

const problems = async (): Promise<string[]> => {
  const found: string[] = []
  await audit({
    bucket: pipeline.bucket,
    log: await pipeline.logState(),
    warehouse: undefined,
    erase: (one) => one,
    rejected: () => readRejected(pipeline.log, never),
    scope: WHOLE_ARCHIVE,
    quick: false,
    signal: never,
    onFinding: ({ level, kind, key }) => {
      if (level === 'problem') found.push(`${kind} ${key}`)
    },
    onProgress: () => undefined,
  })
  return found
}
const idsOf = (events: readonly LoggedEvent[]): string[] => events.map(({ id }) => idText(id)).toSorted()
const eraseWith = (archive: Bucket, deletion: Deletion) =>
  eraseArchive(
    { archive, folder: join(base, 'drafts'), confirm: async () => undefined, signal: never },
    deletion,
    () => undefined,
  )

test.each(ARCHIVE_FORMATS)(
  'a person’s events are gone from files of %s, others are as they were, and the archive proves itself',
  async (format) => {
    const { annas, others } = await archived({ format })
    const before = await content()
    const deletion = await newDeletion()
    const done = await eraseWith(pipeline.bucket, deletion)
    expect(done).toMatchObject({ erased: annas.length, changed: 0 })
    const after = await content()
    expect([...after.keys()].toSorted()).toEqual(idsOf(others))
    for (const [id, properties] of after) expect(properties).toBe(before.get(id))
    expect(await problems()).toEqual([])
    // What held hers alone is gone whole, and older manifests with what they named.
    const keys = await pipeline.keys('manifests/')
    expect(keys.filter((key) => key.includes('.r000001.'))).toHaveLength(4)
    expect(keys).toHaveLength(4)
    expect(await eraseWith(pipeline.bucket, deletion)).toMatchObject({ erased: 0, objects: 0 })
  },
)

test('a property is gone from the lines, and no more than it', async () => {
  const { annas, others } = await archived()
  const done = await eraseWith(pipeline.bucket, await newDeletion({ what: 'property', property: 'big', filters: [] }))
  const after = await content()
  expect(after.size).toBe(annas.length + others.length)
  expect(done.erased).toBe(0)
  expect(done.changed).toBeGreaterThan(70)
  for (const properties of after.values()) expect(properties).not.toContain('big')
  expect(await problems()).toEqual([])
})

test('one deletion after the other, each range has them all', async () => {
  await archived()
  await eraseWith(pipeline.bucket, await newDeletion())
  await eraseWith(pipeline.bucket, await newDeletion({ what: 'collection', filters: [], collection: 'sales' }))
  await eraseWith(pipeline.bucket, await newDeletion({ what: 'property', property: 'round', filters: [] }))
  for (const properties of (await content()).values()) expect(properties).not.toMatch(/"round"|anna".*"n"/)
  expect((await pipeline.keys('events/')).filter((key) => key.includes('/sales/'))).toEqual([])
  expect(await problems()).toEqual([])
})

test.each<[string, Partial<DeletionRecord>]>([
  ['some events', {}],
  ['a whole collection', { what: 'collection', filters: [], collection: 'sales' }],
])('broken off at any step, the erasure of %s is done again and comes to the same', async (_name, more) => {
  await archived()
  const deletion = await newDeletion(more)
  const isKept = (properties: string, id: string): boolean =>
    more.collection === undefined ? !/"anna"(?!.*late)/.test(properties) || elsewhere.has(id) : !sales.has(id)
  const sales = await idsIn('/sales/')
  const elsewhere = new Set([...sales, ...(await idsIn('events/q/'))])
  const others = [...(await content())].filter(([id, properties]) => isKept(properties, id)).map(([id]) => id)
  let left = 0
  const breaking = (bucket: Bucket): Bucket => ({
    ...bucket,
    put: async (key, body, options) => {
      if (left-- === 0) throw new AppError('BUCKET_UNAVAILABLE', 'away')
      await bucket.put(key, body, options)
      if (left-- === 0) throw new AppError('BUCKET_UNAVAILABLE', 'the answer got lost')
    },
    delete: async (key, signal) => {
      if (left-- === 0) throw new AppError('BUCKET_UNAVAILABLE', 'away')
      await bucket.delete(key, signal)
    },
  })
  let broken = 0
  for (let steps = 0; ; steps++) {
    left = steps
    try {
      await eraseWith(breaking(pipeline.bucket), deletion)
      break
    } catch {
      broken += 1
    }
    // Readers see each range whole, before or after.
    const seen = [...(await content()).keys()]
    expect(seen).toEqual(expect.arrayContaining(others))
  }
  expect(broken).toBeGreaterThan(5)
  expect([...(await content()).keys()].toSorted()).toEqual(others.toSorted())
  expect(await problems()).toEqual([])
})

test('deletions reach the archive by themselves, once it has everything of before, and tell of what was delivered', async () => {
  const { others } = await archived()
  const { definitions } = memoryDefinitions(() => Date.now())
  const deletion = await ask(definitions)
  const course = { project: 'p', stream: 'lake', createdAtMs: 1, course: 'main' }
  const file = { key: 'lake/visits-1.jsonl.gz', collection: 'visits', events: 1, bytes: 1, sha256: 'x', kept: {} }
  const text = deliveryText({
    version: 1,
    project: 'p',
    stream: 'lake',
    sequence: 1,
    format: 'jsonl.gz',
    events: 2,
    files: [file, { ...file, key: 'lake/sales-1.jsonl.gz', collection: 'sales' }],
  })
  await pipeline.bucket.put(deliveredKey(course, 1), bodyOf(text), { contentType: 'a/b', signal: never })
  // Not yet exported: it must be erased too.
  await pipeline.send(0, [event({ user: 'anna', latest: true })])
  const stop = new AbortController()
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const common = { log: pipeline.log, archive: pipeline.bucket, definitions, logger, now: Date.now }
  const settings = { ...COMPACTION_DEFAULTS, enabled: false }
  const running = runUpkeep({ ...common, settings, folder: join(base, 'x'), registry: new Registry() }, stop.signal)
  await delay(500)
  expect(definitions.get('erasure', 'p', deletion.id)).toBeUndefined()
  await pipeline.exportAll()
  const deadline = performance.now() + 20_000
  while (definitions.get('erasure', 'p', deletion.id)?.value['state'] !== 'done') {
    if (performance.now() > deadline) throw new Error('it was not carried out')
    await delay(20)
  }
  stop.abort()
  await running
  expect([...(await content()).keys()].toSorted()).toEqual(idsOf(others))
  const files = [{ stream: 'lake', key: 'lake/visits-1.jsonl.gz' }]
  expect(definitions.get('erasure', 'p', deletion.id)?.value).toMatchObject({ delivered: { count: 1, files } })
  expect(await deliveredFiles(pipeline.bucket, deletion, 0, never)).toEqual({ count: 1, files: [] })
})

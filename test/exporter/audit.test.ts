import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type AuditDeps, audit } from '../../services/exporter/audit/audit.ts'
import type { AuditFinding } from '../../services/exporter/audit/finding.ts'
import { readRejected } from '../../services/exporter/audit/rejected-offsets.ts'
import { ARCHIVE_FORMATS, type ArchiveFormat } from '../../services/exporter/domain/archive-format.ts'
import { manifestKey, objectKey } from '../../services/exporter/domain/archive-key.ts'
import { type Manifest, manifestText, parseManifest } from '../../services/exporter/domain/manifest.ts'
import { WHOLE_ARCHIVE } from '../../services/exporter/domain/scope.ts'
import { bodyOf, readWhole } from '../../services/shared/bucket/body.ts'
import { createErase } from '../../services/shared/deletions/domain/erase.ts'
import { openChdbWarehouse } from '../../services/shared/warehouse/chdb.ts'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { memoryDefinitions } from '../support/definitions.ts'
import { ask, event, mixedEvents, never, openPipeline, type Pipeline, T0 } from './support/pipeline.ts'

const base = mkdtempSync(join(tmpdir(), 'tributary-audit-'))
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

const keep = (event: Parameters<AuditDeps['erase']>[0]) => event

async function look(more: Partial<AuditDeps> = {}) {
  const findings: AuditFinding[] = []
  const report = await audit({
    bucket: pipeline.bucket,
    log: await pipeline.logState(),
    warehouse,
    erase: keep,
    rejected: () => readRejected(pipeline.log, never),
    scope: WHOLE_ARCHIVE,
    quick: false,
    signal: never,
    onFinding: (finding) => findings.push(finding),
    onProgress: () => undefined,
    ...more,
  })
  const sum = (pick: (one: (typeof report.partitions)[number]) => number): number =>
    report.partitions.reduce((total, one) => total + pick(one), 0)
  return { ...report, findings, problems: findings.filter(({ level }) => level === 'problem'), sum }
}

const problems = async (more: Partial<AuditDeps> = {}) =>
  (await look(more)).problems.map(({ kind, key }) => ({ kind, key }))

/** Several ranges in both partitions, loaded and exported. */
async function whole(format: ArchiveFormat = 'jsonl.gz'): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    await pipeline.send(0, mixedEvents(0, 30))
    await pipeline.send(1, mixedEvents(1, 12))
    await pipeline.exportAll({ format })
  }
  await pipeline.loadAll()
}

async function replaced(key: string, change: (bytes: Buffer) => Buffer | string): Promise<void> {
  const bytes = (await readWhole(pipeline.bucket, key, never)) ?? Buffer.alloc(0)
  await pipeline.bucket.delete(key, never)
  await pipeline.bucket.put(key, bodyOf(change(bytes)), { contentType: 'x/y', signal: never })
}

const manifestAt = async (key: string): Promise<Manifest> => {
  const manifest = parseManifest((await readWhole(pipeline.bucket, key, never)) ?? Buffer.alloc(0))
  if (manifest === undefined) throw new Error('no manifest')
  return manifest
}

test.each(ARCHIVE_FORMATS)('a whole archive of %s passes, thoroughly, quickly, and narrowed', async (format) => {
  await whole(format)
  const found = await look()
  expect(found.findings).toEqual([])
  expect(found.partitions).toHaveLength(2)
  const [{ n } = { n: 0 }] = (await ask(warehouse, 'SELECT count() FROM events')).map(([n]) => ({ n: Number(n) }))
  expect(found.sum(({ events }) => events)).toBe(n)
  expect(found.sum(({ warehouse }) => warehouse.compared)).toBe(n)
  expect(found.sum(({ ranges }) => ranges)).toBeGreaterThanOrEqual(6)
  expect(await problems({ quick: true })).toEqual([])
  const narrow = await look({ scope: { project: 'q', fromMs: T0, toMs: T0 + 3_600_000 } })
  expect(narrow.findings).toEqual([])
  expect(narrow.sum(({ warehouse }) => warehouse.compared)).toBeGreaterThan(0)
  expect(narrow.sum(({ warehouse }) => warehouse.compared)).toBeLessThan(n)
})

test('an audit finds any byte of an Avro file that changed, and none of it is taken for an event', async () => {
  await whole('avro')
  const [key = ''] = await pipeline.keys('events/p')
  const bytes = (await readWhole(pipeline.bucket, key, never)) ?? Buffer.alloc(0)
  const inHeader = bytes.indexOf(bytes.subarray(-16)) // the sync marker
  for (const at of [0, 60, inHeader, inHeader + 20, bytes.length - 100, bytes.length - 1]) {
    await replaced(key, () => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte)) as Buffer)
    expect(await problems({ warehouse: undefined })).toEqual([{ kind: 'damaged_object', key }])
  }
  await replaced(key, () => bytes)
  expect(await problems()).toEqual([])
})

describe('an audit finds', () => {
  beforeEach(async () => whole())

  test('an object that is gone', async () => {
    const [key = ''] = await pipeline.keys('events/p')
    await pipeline.bucket.delete(key, never)
    expect(await problems()).toEqual([{ kind: 'missing_object', key }])
    expect(await problems({ quick: true, warehouse: undefined })).toEqual([{ kind: 'missing_object', key }])
  })

  test('lines that are not those of the manifest, in bytes that are', async () => {
    const [name = ''] = await pipeline.keys('manifests/')
    const manifest = await manifestAt(name)
    const [first, ...others] = manifest.objects
    if (first === undefined) throw new Error('no object')
    const objects = [{ ...first, content_sha256: '0'.repeat(64) }, ...others]
    await replaced(name, () => manifestText({ ...manifest, objects }))
    const found = await look({ warehouse: undefined })
    expect(found.problems).toMatchObject([{ kind: 'damaged_object', key: first.key }])
    expect(found.problems[0]?.says).toContain('lines')
  })

  test('a byte that changed, which only reading tells, and a size, which a listing does', async () => {
    const [key = '', other = ''] = await pipeline.keys('events/')
    await replaced(key, (bytes) => {
      bytes[9] = (bytes[9] ?? 0) ^ 1 // the gzip header's system: the content stays
      return bytes
    })
    expect(await problems()).toEqual([{ kind: 'damaged_object', key }])
    expect(await problems({ quick: true })).toEqual([])
    await replaced(other, (bytes) => bytes.subarray(0, -4))
    expect(await problems({ quick: true, warehouse: undefined })).toEqual([{ kind: 'damaged_object', key: other }])
    expect(await problems()).toHaveLength(2)
  })

  test('a manifest that is gone, in the middle and at the end, and what it left behind', async () => {
    const { epoch } = await pipeline.logState()
    const keys = await pipeline.keys(`manifests/${epoch}/00000/`)
    const [, middle = '', after = ''] = keys
    const { objects } = await manifestAt(middle)
    await pipeline.bucket.delete(middle, never)
    const found = await problems()
    expect(found).toContainEqual({ kind: 'gap', key: after })
    for (const { key } of objects) expect(found).toContainEqual({ kind: 'foreign', key })
    const last = keys.at(-1) ?? ''
    const left = (await manifestAt(last)).objects
    await pipeline.bucket.delete(last, never)
    const again = await problems()
    expect(again).toContainEqual({ kind: 'missing_manifest', key: `manifests/${epoch}/00000/` })
    for (const { key } of left) expect(again).toContainEqual({ kind: 'foreign', key })
  })

  test('a range that is there twice', async () => {
    const [key = ''] = await pipeline.keys('manifests/')
    const manifest = await manifestAt(key)
    const range = { ...manifest, first: BigInt(manifest.first), last: BigInt(manifest.last) - 1n }
    const doubled = manifestKey(range)
    const text = manifestText({
      ...manifest,
      last: String(range.last),
      records: 0,
      events: 0,
      repeats: 0,
      unusable: {},
      objects: [],
    })
    await pipeline.bucket.put(doubled, bodyOf(text), { contentType: 'x/y', signal: never })
    expect(await problems({ warehouse: undefined })).toEqual([{ kind: 'overlap', key }])
  })

  test('objects that are not the archive’s', async () => {
    const [key = ''] = await pipeline.keys('manifests/')
    const { epoch, partition, first, last } = await manifestAt(key)
    const range = { epoch, partition, first: BigInt(first), last: BigInt(last) }
    const named = objectKey(
      range,
      { project: 'p', collection: 'forged', hourMs: Math.floor(T0 / 3_600_000) * 3_600_000 },
      'jsonl.gz',
    )
    const keys = [
      'events/p/readme.txt',
      named,
      'repeats/what.bin',
      `repeats/${epoch}/00000/${'9'.repeat(20)}-${'9'.repeat(20)}.1.bin`,
    ]
    for (const key of keys) await pipeline.bucket.put(key, bodyOf('x'), { contentType: 'x/y', signal: never })
    const expected = keys.map((key) => ({ kind: 'foreign', key }))
    for (const quick of [false, true]) {
      const found = await problems({ quick })
      expect(found).toHaveLength(keys.length)
      expect(found).toEqual(expect.arrayContaining(expected))
    }
  })

  test('a manifest that lies', async () => {
    const [key = ''] = await pipeline.keys('manifests/')
    await replaced(key, (bytes) => {
      const manifest = parseManifest(bytes)
      return manifest === undefined ? '' : manifestText({ ...manifest, repeats: manifest.repeats + 1 })
    })
    expect(await problems()).toEqual([{ kind: 'bad_manifest', key }])
    await replaced(key, () => '{}')
    expect(await problems()).toContainEqual({ kind: 'bad_manifest', key })
  })

  test('an event that the warehouse does not have, and one too many', async () => {
    const { epoch } = await pipeline.logState()
    const [key = ''] = await pipeline.keys('manifests/')
    const where = `log_epoch = '${epoch}' AND log_partition = 0 AND log_offset = 7`
    await warehouse.command(`INSERT INTO events SELECT * FROM events WHERE ${where}`)
    for (const quick of [false, true]) expect(await problems({ quick })).toEqual([{ kind: 'warehouse_extra', key }])
    await warehouse.command(`ALTER TABLE events DELETE WHERE ${where} SETTINGS mutations_sync = 2`)
    for (const quick of [false, true]) expect(await problems({ quick })).toEqual([{ kind: 'warehouse_missing', key }])
    const { says } = (await look()).problems[0] ?? {}
    expect(says).toContain('offset 7.')
    expect(await problems({ warehouse: undefined })).toEqual([])
  })

  test('one event in the place of another', async () => {
    const { epoch } = await pipeline.logState()
    const [key = ''] = await pipeline.keys('manifests/')
    const where = `log_epoch = '${epoch}' AND log_partition = 0 AND log_offset = 7`
    const columns = '* REPLACE (generateUUIDv4() AS id)'
    await warehouse.command(`CREATE TABLE other ENGINE = Memory AS SELECT ${columns} FROM events WHERE ${where}`)
    await warehouse.command(`ALTER TABLE events DELETE WHERE ${where} SETTINGS mutations_sync = 2`)
    await warehouse.command('INSERT INTO events SELECT * FROM other')
    await warehouse.command('DROP TABLE other')
    expect(await problems()).toEqual([
      { kind: 'warehouse_missing', key },
      { kind: 'warehouse_extra', key },
    ])
  })
})

describe('differences that are as they should be', () => {
  test('what the loader has not come to', async () => {
    await pipeline.send(0, mixedEvents(0, 20))
    await pipeline.exportAll()
    const found = await look()
    expect(found.problems).toEqual([])
    expect(found.sum(({ warehouse }) => warehouse.notLoaded)).toBeGreaterThan(0)
    // Without a log nobody can say why they are not there.
    expect((await problems({ log: undefined, rejected: async () => () => new Set() })).map(({ kind }) => kind)).toEqual(
      ['warehouse_missing'],
    )
  })

  test('what was deleted', async () => {
    await pipeline.send(0, [event({ n: 1 }), event({ n: 2 }), event({ n: 3 }, { collection: 'other' })])
    await pipeline.exportAll()
    const { definitions, deletions } = memoryDefinitions(Date.now)
    const value = { collection: 'visits', what: 'events', atMs: T0, timeframe: null, property: null, state: 'done' }
    const filters = [{ property_name: 'n', operator: 'eq', property_value: 1 }]
    await definitions.put('deletion', 'p', 'd', { ...value, filters, matched: 0, startedAtMs: null, doneAtMs: null })
    await pipeline.loadAll(deletions)
    const erase = createErase(deletions)
    for (const quick of [false, true]) {
      const found = await look({ erase, quick })
      expect(found.problems).toEqual([])
      expect(found.sum(({ warehouse }) => warehouse.erased)).toBe(1)
    }
    expect((await problems()).map(({ kind }) => kind)).toEqual(['warehouse_missing'])
  })

  test('what the warehouse refused', async () => {
    await pipeline.send(0, [event({ n: 1 }), event({}, { properties: Buffer.from('{"a":1,"a":2}') }), event({ n: 3 })])
    await pipeline.exportAll()
    await pipeline.loadAll()
    const found = await look()
    expect(found.problems).toEqual([])
    expect(found.sum(({ warehouse }) => warehouse.rejected)).toBe(1)
  })

  test('objects of the range that is being written', async () => {
    await whole()
    const state = await pipeline.logState()
    const next = state.exported(0) ?? 0n
    const hourMs = Math.floor(T0 / 3_600_000) * 3_600_000
    const range = { epoch: state.epoch, partition: 0, first: next, last: next + 9n }
    const key = objectKey(range, { project: 'p', collection: 'c0', hourMs }, 'jsonl.gz')
    await pipeline.bucket.put(key, bodyOf('half'), { contentType: 'x/y', signal: never })
    const found = await look()
    expect(found.problems).toEqual([])
    expect(found.findings).toMatchObject([{ kind: 'in_flight', key }])
  })
})

import { createHash } from 'node:crypto'
import { Registry } from 'prom-client'
import { expect } from 'vitest'
import { carryOut } from '../../services/exporter/deliveries/carry-out.ts'
import { DeliveryMetrics } from '../../services/exporter/deliveries/metrics.ts'
import { DELIVERY_DEFAULTS } from '../../services/exporter/deliveries/settings.ts'
import { readManifest } from '../../services/exporter/archive/read-archive.ts'
import {
  type CourseName,
  deliveriesPrefix,
  type Delivered,
  type DeliveryPlan,
  parseCourseKey,
  parsePlan,
  planKey,
} from '../../services/exporter/domain/delivery.ts'
import { MemoryBudget } from '../../services/exporter/spool/memory-budget.ts'
import { readWhole } from '../../services/shared/bucket/body.ts'
import { openFolderBucket } from '../../services/shared/bucket/folder/open.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { Slots } from '../../services/shared/slots.ts'
import { rowsOf } from '../support/delivered-rows.ts'
import { producedEvent } from '../support/producer.ts'

/** A delivery that was decided on. */
export interface Decided {
  readonly course: CourseName
  readonly sequence: number
  readonly isDone: boolean
}

/** All that were decided on for a project's streams, as the archive says. */
export async function decidedDeliveries(archive: Bucket, project: string, signal: AbortSignal): Promise<Decided[]> {
  const planned = new Map<string, { course: CourseName; sequence: number }>()
  const done = new Set<string>()
  for await (const { key } of archive.list(deliveriesPrefix(project), { signal })) {
    const [, , stream = '', createdAtMs, course = ''] = key.split('/')
    const { kind, sequence } = parseCourseKey(key) ?? { kind: 'plan', sequence: 0 }
    const name = `${stream}/${createdAtMs}/${course}/${sequence}`
    if (kind === 'done') done.add(name)
    else planned.set(name, { course: { project, stream, createdAtMs: Number(createdAtMs), course }, sequence })
  }
  return [...planned].map(([name, decided]) => ({ ...decided, isDone: done.has(name) }))
}

const read = async (bucket: Bucket, key: string, signal: AbortSignal): Promise<Buffer> =>
  (await readWhole(bucket, key, signal)) ?? expect.fail(`${key} is not there`)

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/**
 * Reads all files of a stream's bucket as its owner does. Gives the events as `COLLECTION/NUMBER`, sorted; fails where one
 * is not as its producer sent it, or where files and manifests do not name the same bytes. `root` is the prefix up to `{collection}`.
 */
export async function checkDelivered(bucket: Bucket, root: string, signal: AbortSignal) {
  const events: string[] = []
  const named = new Map<string, Delivered['files'][number]>()
  const files: string[] = []
  for await (const { key } of bucket.list('', { signal })) {
    if (!key.startsWith(`${root}_manifests/`)) {
      files.push(key)
      continue
    }
    for (const file of (JSON.parse(String(await read(bucket, key, signal))) as Delivered).files) {
      expect(named.has(file.key), `${file.key} is named once`).toBe(false)
      named.set(file.key, file)
    }
  }
  expect(files.toSorted(), 'files are what manifests name').toEqual([...named.keys()].toSorted())
  for (const key of files) {
    const bytes = await read(bucket, key, signal)
    const rows = await rowsOf(key, bytes)
    expect(named.get(key)).toMatchObject({ bytes: bytes.length, sha256: sha256(bytes), events: rows.length })
    const collection = named.get(key)?.collection ?? ''
    expect(key.startsWith(`${root}${collection}/`)).toBe(true)
    for (const { n, producer, parity, weight } of rows) {
      const { keen: _, ...sent } = producedEvent(String(producer), Number(n))
      expect({ n: Number(n), producer, parity, weight: Number(weight) }).toEqual(sent)
      events.push(`${collection}/${Number(n)}`)
    }
  }
  return { events: events.toSorted(), files: files.length }
}

/** Carries out every plan of a stream once more, into an empty folder: each object must come out as it lies in the stream's bucket. */
export async function expectSameAgain(
  archive: Bucket,
  deliveries: readonly Decided[],
  target: Bucket,
  folder: string,
  signal: AbortSignal,
): Promise<number> {
  const again = await openFolderBucket(`${folder}/again`)
  const deps = {
    archive,
    readManifest: async (key: string, stop: AbortSignal) => readManifest(archive, key, stop),
    folder: `${folder}/spool`,
    budget: new MemoryBudget(DELIVERY_DEFAULTS.memoryBytesMax),
    settings: DELIVERY_DEFAULTS,
    metrics: new DeliveryMetrics(new Registry()),
    making: new Slots(1),
    sending: new Slots(1),
  }
  for (const { course, sequence } of deliveries) {
    const plan: DeliveryPlan | undefined = parsePlan(await read(archive, planKey(course, sequence), signal))
    if (plan === undefined) return expect.fail('a plan cannot be read')
    await carryOut(deps, again, course, plan, new Map(), signal)
  }
  const hashes = async (bucket: Bucket): Promise<[string, string][]> => {
    const found: [string, string][] = []
    for await (const { key } of bucket.list('', { signal })) found.push([key, sha256(await read(bucket, key, signal))])
    return found.toSorted(([a], [b]) => (a < b ? -1 : 1))
  }
  const found = await hashes(target)
  expect(await hashes(again)).toEqual(found)
  await again.close()
  return found.length
}

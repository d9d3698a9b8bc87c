import { expect, test } from 'vitest'
import { manifestKey, objectKey } from '../../services/exporter/domain/archive-key.ts'
import { type Merge, placesOf } from '../../services/exporter/domain/compaction.ts'
import { manifestFaults } from '../../services/exporter/domain/manifest-faults.ts'
import type { ArchivedObject, Manifest } from '../../services/exporter/domain/manifest.ts'
import { mergedKey, parseMergedKey } from '../../services/exporter/domain/merged-key.ts'
import { type Candidate, isCandidate, planMerges } from '../../services/exporter/domain/plan-merges.ts'
import { withMerged } from '../../services/exporter/domain/with-merged.ts'

const HOUR = '2026-01-31T23:00:00.000Z'
const SHA = 'a'.repeat(64)

const rangeOf = (partition: number, first: number) => ({
  epoch: 'e',
  partition,
  first: BigInt(first),
  last: BigInt(first + 9),
})

function candidate(partition: number, first: number, bytes: number, more: Partial<ArchivedObject> = {}): Candidate {
  const range = rangeOf(partition, first)
  const part = { project: 'p', collection: more.collection ?? 'visits', hourMs: Date.parse(more.hour ?? HOUR) }
  const object: ArchivedObject = {
    key: objectKey(range, part, more.format ?? 'jsonl.gz'),
    project: 'p',
    collection: 'visits',
    hour: HOUR,
    format: 'jsonl.gz',
    events: 1,
    first: String(first),
    last: String(first),
    bytes,
    sha256: SHA,
    content_bytes: 3 * bytes,
    content_sha256: SHA,
    ...more,
  }
  return { manifest: manifestKey(range), object }
}

const shape = (merges: readonly Merge[]) => merges.map(({ key, pieces }) => [key, pieces.map(({ bytes }) => bytes)])

test('objects of one project, collection, hour and format become one file, in the order of partitions and offsets', () => {
  const merges = planMerges(
    7,
    [
      candidate(10, 0, 1),
      candidate(2, 100, 2),
      candidate(2, 20, 3),
      candidate(2, 20, 4, { collection: 'sales' }),
      candidate(3, 0, 5, { collection: 'sales' }),
      candidate(3, 0, 6, { hour: '2026-01-31T22:00:00.000Z' }),
      candidate(3, 10, 7, { format: 'jsonl.zst' }),
    ],
    100,
  )
  expect(shape(merges)).toEqual([
    ['events/p/2026-01-31/23/sales/merged+7+0.jsonl.gz', [4, 5]],
    ['events/p/2026-01-31/23/visits/merged+7+1.jsonl.gz', [3, 2, 1]],
  ])
})

test('files are filled up to their size, and what would be alone is left as it is', () => {
  const sizes = [40, 40, 30, 90, 5, 5]
  const merges = planMerges(
    1,
    sizes.map((bytes, index) => candidate(0, index * 10, bytes)),
    100,
  )
  expect(shape(merges).map(([, pieces]) => pieces)).toEqual([
    [40, 40],
    [90, 5, 5],
  ])
})

test('large objects, merged ones and empty ones are none to be merged', () => {
  expect(isCandidate(candidate(0, 0, 99).object, 100)).toBe(true)
  expect(isCandidate(candidate(0, 0, 100).object, 100)).toBe(false)
  expect(isCandidate(candidate(0, 0, 9, { at: 0, file_bytes: 20 }).object, 100)).toBe(false)
  expect(isCandidate(candidate(0, 0, 0).object, 100)).toBe(false)
})

test('a manifest names the place of its piece, once, and is sound; of another file it is not', () => {
  const [merge] = planMerges(3, [candidate(0, 0, 10), candidate(1, 0, 20)], 100)
  if (merge === undefined) throw new Error('nothing to merge')
  const places = placesOf(merge)
  expect(places.map(({ place: { at, fileBytes } }) => [at, fileBytes])).toEqual([
    [0, 30],
    [10, 30],
  ])
  const { object } = candidate(1, 0, 20)
  const manifest: Manifest = {
    version: 1,
    epoch: 'e',
    partition: 1,
    first: '0',
    last: '9',
    records: 1,
    events: 1,
    repeats: 0,
    unusable: {},
    appended: null,
    objects: [object],
  }
  const byKey = new Map(places.map(({ piece, place }) => [piece.key, place]))
  const after = withMerged(manifest, byKey)
  expect(after?.objects).toEqual([{ ...object, key: merge.key, at: 10, file_bytes: 30 }])
  if (after === undefined) return
  expect(withMerged(after, byKey)).toBeUndefined()
  expect(withMerged({ ...manifest, objects: [{ ...object, sha256: 'b'.repeat(64) }] }, byKey)).toBeUndefined()
  expect(manifestFaults(rangeOf(1, 0), after)).toEqual([])
  const faultsWith = (change: Partial<ArchivedObject>) =>
    manifestFaults(rangeOf(1, 0), { ...after, objects: after.objects.map((one) => ({ ...one, ...change })) })
  expect(faultsWith({ at: 11 })).toEqual([expect.stringContaining('does not lie within its file')])
  expect(faultsWith({ collection: 'sales' })).toEqual([expect.stringContaining('has not the key')])
  expect(faultsWith({ key: object.key })).toEqual([expect.stringContaining('has not the key')])
})

test('the name of a merged file tells of its plan, and is no other object’s', () => {
  const part = { project: 'p', collection: 'a b', hourMs: Date.parse(HOUR) }
  for (const mark of [undefined, '0123456789abcdef']) {
    const key = mergedKey(part, { plan: 12, index: 3 }, 'jsonl.zst', mark)
    expect(parseMergedKey(key)).toEqual({ project: 'p', hourMs: part.hourMs, plan: 12, index: 3 })
  }
  expect(parseMergedKey(objectKey(rangeOf(1, 0), part, 'jsonl.gz'))).toBeUndefined()
  expect(parseMergedKey('events/p/2026-01-31/23/c/merged+1+2.avro')).toBeUndefined()
})

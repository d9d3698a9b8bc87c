import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { eraseArchive } from '../../services/exporter/erasure/erase-archive.ts'
import { readWhole } from '../../services/shared/bucket/body.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { prefixedBucket } from '../../services/shared/bucket/prefixed.ts'
import { idText, type LoggedEvent } from '../../services/shared/events/event.ts'
import { parseFilters } from '../../services/shared/filters/parse.ts'
import { compact } from '../exporter/support/compact.ts'
import { archiveIn, findingsOf, readByManifests } from '../exporter/support/memory-archive.ts'
import { newGcsBucket, newS3Bucket } from '../support/buckets.ts'

const T0 = Date.UTC(2026, 0, 1, 12)
const HOUR = 3_600_000
const base = mkdtempSync(join(tmpdir(), 'tributary-archive-compaction-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
const signal = AbortSignal.timeout(600_000)

/** Two partitions of an hour; texts that do not compress, so that files of several parts come of them. */
const events: readonly (readonly LoggedEvent[])[] = [0, 1].map((partition) =>
  Array.from({ length: 60 }, (_, n) => ({
    project: 'p',
    collection: 'visits',
    id: Buffer.alloc(16, `${partition}-${n}-`),
    timestampMs: T0,
    createdAtMs: T0 + n * 50_000,
    repeatKey: null,
    properties: Buffer.from(JSON.stringify({ user: n % 3 === 0 ? 'anna' : 'bob', noise: noise(100_000) })),
  })),
)

function noise(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes / 2))).toString('base64')
}

const keysOf = async (bucket: Bucket, prefix: string): Promise<string[]> => {
  const found: string[] = []
  for await (const { key } of bucket.list(prefix, { signal })) found.push(key)
  return found
}

describe.each([
  ['S3', newS3Bucket],
  ['GCS', newGcsBucket],
] as const)('an archive on a real %s server', (name, open) => {
  test('is merged, read by its manifests, and erased from', async () => {
    const whole = await open()
    const bucket = prefixedBucket(whole, 'archive/')
    await archiveIn(bucket, join(base, name), events, { rangeBytesMax: 500_000 })
    const before = await readByManifests(bucket)
    expect(before.size).toBe(120)
    const objects = await keysOf(bucket, 'events/')
    expect(objects.length).toBeGreaterThan(10)
    await compact(bucket, join(base, 'upkeep'), T0 + 24 * HOUR)
    expect(await keysOf(bucket, 'events/')).toEqual(['events/p/2026-01-01/12/visits/merged+1+0.jsonl.gz'])
    expect(await readByManifests(bucket)).toEqual(before)
    for (const quick of [false, true]) expect(await findingsOf(bucket, quick)).toEqual([])
    // Who lists instead reads it as one file.
    const [key = ''] = await keysOf(bucket, 'events/')
    const lines = gunzipSync((await readWhole(bucket, key, signal)) ?? Buffer.alloc(0)).toString()
    expect(lines.trimEnd().split('\n')).toHaveLength(120)

    const deletion = {
      id: 'd',
      projectId: 'p',
      collection: 'visits',
      what: 'events',
      atMs: T0 + 24 * HOUR,
      timeframe: null,
      filters: parseFilters([{ property_name: 'user', operator: 'eq', property_value: 'anna' }]),
      segments: [],
      progress: { state: 'pending', matched: 0, startedAtMs: null, doneAtMs: null },
    } as const
    const deps = { archive: bucket, folder: join(base, 'drafts'), confirm: async () => undefined, signal }
    expect(await eraseArchive(deps, deletion, () => undefined)).toMatchObject({ erased: 40, objects: 1 })
    const left = events.flat().filter(({ properties }) => !properties.includes('"anna"'))
    expect([...(await readByManifests(bucket)).keys()].toSorted()).toEqual(left.map(({ id }) => idText(id)).toSorted())
    expect(await keysOf(bucket, 'events/')).toHaveLength(1)
    for (const quick of [false, true]) expect(await findingsOf(bucket, quick)).toEqual([])
    await whole.close()
  })
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import type { ArchiveFormat } from '../../services/exporter/domain/archive-format.ts'
import { eraseArchive } from '../../services/exporter/erasure/erase-archive.ts'
import type { Deletion } from '../../services/shared/deletions/model.ts'
import { idText, type LoggedEvent } from '../../services/shared/events/event.ts'
import { parseFilters } from '../../services/shared/filters/parse.ts'
import { MemoryBucketState, openMemoryBucket } from '../support/memory-bucket.ts'
import type { Step } from '../support/memory-log.ts'
import { compact } from './support/compact.ts'
import { decompressed } from './support/decompressed.ts'
import { archiveInMemory, findingsOf, namedObjects, openQuietly, readByManifests } from './support/memory-archive.ts'

const HOUR = 3_600_000
const T0 = Date.UTC(2026, 0, 1, 12)
const base = mkdtempSync(join(tmpdir(), 'tributary-erasure-in-merged-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
const never = new AbortController().signal

const USERS = ['anna', 'bob', 'carl', 'dora'] as const
const COLLECTIONS = ['sales', 'visits'] as const

/** Two partitions of three ranges each, all with events of two collections; dora is in one range alone. */
const events: readonly (readonly LoggedEvent[])[] = [0, 1].map((partition) =>
  Array.from({ length: 12 }, (_, n) => ({
    project: 'p',
    collection: COLLECTIONS[n % 2] ?? '',
    id: Buffer.alloc(16, `${partition}-${n}-`),
    timestampMs: T0,
    createdAtMs: T0 + n * 60_000,
    repeatKey: null,
    properties: Buffer.from(JSON.stringify({ user: partition === 1 && n >= 8 ? 'dora' : USERS[(n >> 1) % 3], n })),
  })),
)

const deletion = (collection: string, user: string, more: Partial<Deletion> = {}): Deletion => ({
  id: `${collection}-${user}`,
  projectId: 'p',
  collection,
  what: 'events',
  atMs: T0 + 24 * HOUR,
  timeframe: null,
  filters: parseFilters([{ property_name: 'user', operator: 'eq', property_value: user }]),
  segments: [],
  progress: { state: 'pending', matched: 0, startedAtMs: null, doneAtMs: null },
  ...more,
})

/** An archive whose objects are merged, of which nothing is left that they replaced. */
async function compacted(format: ArchiveFormat): Promise<MemoryBucketState> {
  const state = await archiveInMemory(join(base, 'exporter', format), events, { format, rangeBytesMax: 450 })
  await compact(openQuietly(state), join(base, 'upkeep'), T0 + 24 * HOUR)
  expect([...state.objects.keys()].filter((key) => key.startsWith('events/'))).toHaveLength(2)
  return state
}

const copyOf = (state: MemoryBucketState): MemoryBucketState => {
  const copy = new MemoryBucketState()
  for (const [key, stored] of state.objects) copy.objects.set(key, stored)
  return copy
}

const quiet: Step = async () => undefined
const erase = async (state: MemoryBucketState, one: Deletion, step: Step = quiet) => {
  const archive = openMemoryBucket(state, step)
  const deps = { archive, folder: join(base, 'drafts'), confirm: async () => undefined, signal: never }
  return eraseArchive(deps, one, () => undefined)
}

const isOf = (event: LoggedEvent, collection: string, user: string): boolean =>
  event.collection === collection && String(event.properties).includes(user)

/** What is left is whole, each event once; nothing of what was erased is in any object, and no object is left over. */
async function checkWithout(state: MemoryBucketState, gone: readonly (readonly [string, string])[]): Promise<void> {
  const bucket = openQuietly(state)
  const left = events.flat().filter((event) => !gone.some(([collection, user]) => isOf(event, collection, user)))
  const found = await readByManifests(bucket)
  expect([...found.keys()].toSorted()).toEqual(left.map(({ id }) => idText(id)).toSorted())
  for (const quick of [false, true]) expect(await findingsOf(bucket, quick)).toEqual([])
  const stored = [...state.objects.keys()].filter((key) => key.startsWith('events/'))
  expect(stored.toSorted()).toEqual([...new Set((await namedObjects(bucket)).map(({ key }) => key))].toSorted())
  for (const key of stored) {
    const text = decompressed(state.objects.get(key)?.bytes ?? Buffer.alloc(0), key)
    for (const [collection, user] of gone) if (key.includes(`/${collection}/`)) expect(text).not.toContain(user)
  }
}

test.each<ArchiveFormat>(['jsonl.gz', 'jsonl.zst'])(
  'events are gone from merged files, and these are one each (%s)',
  async (format) => {
    const state = await compacted(format)
    const before = await readByManifests(openQuietly(state))
    const done = await erase(state, deletion('visits', 'anna'))
    expect(done).toMatchObject({ erased: 4, changed: 0, objects: 1 })
    await checkWithout(state, [['visits', 'anna']])
    expect([...state.objects.keys()].filter((key) => key.startsWith('events/'))).toHaveLength(2)
    for (const [id, properties] of await readByManifests(openQuietly(state))) expect(properties).toBe(before.get(id))
    expect(await erase(state, deletion('visits', 'anna'))).toMatchObject({ erased: 0, objects: 0 })
    expect(await erase(state, deletion('visits', 'bob'))).toMatchObject({ objects: 1 })
    await checkWithout(state, [
      ['visits', 'anna'],
      ['visits', 'bob'],
    ])
  },
)

test('a property is gone, and a collection that is erased whole leaves no file', async () => {
  const state = await compacted('jsonl.gz')
  const all = deletion('visits', '', { filters: [] })
  const done = await erase(state, { ...all, what: 'property', segments: ['n'] })
  expect(done).toMatchObject({ erased: 0, changed: 12, objects: 1 })
  for (const event of events.flat()) {
    const properties = (await readByManifests(openQuietly(state))).get(idText(event.id))
    expect(properties?.includes('"n"')).toBe(event.collection === 'sales')
  }
  await erase(state, { ...all, what: 'collection' })
  await checkWithout(state, [['visits', '']])
})

/** Every step that changes something is one before or after which the erasure breaks off. */
const breakingAt = (at: number): Step => {
  let left = at
  return async (label) => {
    if (/ (put|delete) /.test(label) && left-- === 0) throw new Error('the process dies here')
  }
}

test.each(['anna', 'dora'])('broken off at any step and done again, also after another deletion: %s', async (user) => {
  const whole = await compacted('jsonl.gz')
  for (const between of [undefined, ['sales', 'bob'] as const]) {
    let broken = 0
    for (let at = 0; ; at += 1) {
      const state = copyOf(whole)
      const isDone = await erase(state, deletion('visits', user), breakingAt(at)).then(
        () => true,
        () => false,
      )
      if (isDone) break
      broken += 1
      // Others are found all the while.
      const seen = await readByManifests(openQuietly(state))
      for (const event of events.flat()) expect(seen.has(idText(event.id)) || isOf(event, 'visits', user)).toBe(true)
      const findings = await findingsOf(openQuietly(state), false)
      // What was written and not named yet is told of; nothing is missing or damaged.
      expect(findings.filter(({ level, kind }) => level === 'problem' && kind !== 'foreign')).toEqual([])
      const gone: (readonly [string, string])[] = [['visits', user]]
      if (between !== undefined) {
        await erase(state, deletion(between[0], between[1]))
        gone.push(between)
      }
      await erase(state, deletion('visits', user))
      await checkWithout(state, gone)
    }
    expect(broken).toBeGreaterThan(10)
  }
})

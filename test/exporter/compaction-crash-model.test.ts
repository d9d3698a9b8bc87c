import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { Registry } from 'prom-client'
import { afterAll, expect, test } from 'vitest'
import { Compaction } from '../../services/exporter/compaction/compaction.ts'
import { CompactionMetrics } from '../../services/exporter/compaction/metrics.ts'
import { COMPACTION_DEFAULTS } from '../../services/exporter/compaction/settings.ts'
import type { ArchiveFormat } from '../../services/exporter/domain/archive-format.ts'
import { decompressed } from './support/decompressed.ts'
import { eraseArchive } from '../../services/exporter/erasure/erase-archive.ts'
import type { Deletion } from '../../services/shared/deletions/model.ts'
import { AppError, hasCode } from '../../services/shared/errors.ts'
import { idText, type LoggedEvent } from '../../services/shared/events/event.ts'
import { parseFilters } from '../../services/shared/filters/parse.ts'
import { type MemoryBucketState, openMemoryBucket } from '../support/memory-bucket.ts'
import type { Step } from '../support/memory-log.ts'
import { archiveInMemory, findingsOf, namedObjects, openQuietly, readByManifests } from './support/memory-archive.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const T0 = Date.UTC(2026, 0, 1)
const base = mkdtempSync(join(tmpdir(), 'tributary-compaction-model-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
const never = new AbortController().signal
const silent = { info: () => undefined, warn: () => undefined }

const USERS = ['anna', 'bob', 'carl'] as const
type User = (typeof USERS)[number]

interface Input {
  readonly user: User
  readonly collection: 'even' | 'odd'
  readonly minutes: number
}

/** Something goes wrong at the nth step that a process takes. */
interface Fault {
  readonly at: number
  readonly what: 'crash' | 'lost' | 'freeze'
}

interface Process {
  /** Time that passes before it begins. */
  readonly minutes: number
  /** Whose events are to be erased from then on. */
  readonly erased: User | undefined
  readonly faults: readonly Fault[]
}

const anyInput: fc.Arbitrary<Input> = fc.record({
  user: fc.constantFrom(...USERS),
  collection: fc.constantFrom<Input['collection'][]>('even', 'odd'),
  minutes: fc.nat(25),
})
const anyFault = (whats: readonly Fault['what'][]): fc.Arbitrary<Fault> =>
  fc.record({ at: fc.nat(120), what: fc.constantFrom(...whats) })
const anyProcess = (whats: readonly Fault['what'][]): fc.Arbitrary<Process> =>
  fc.record({
    minutes: fc.nat(90),
    erased: fc.option(fc.constantFrom<User[]>('anna', 'bob'), { nil: undefined, freq: 2 }),
    faults: fc.array(anyFault(whats), { minLength: 1, maxLength: 3 }),
  })
interface Case {
  readonly partitions: readonly (readonly Input[])[]
  readonly format: ArchiveFormat
  readonly targetBytes: number
  readonly piecesMax: number
  readonly processes: readonly Process[]
}

const anyCase = (whats: readonly Fault['what'][]): fc.Arbitrary<Case> =>
  fc.record({
    partitions: fc.array(fc.array(anyInput, { minLength: 2, maxLength: 9 }), { minLength: 1, maxLength: 3 }),
    format: fc.constantFrom<ArchiveFormat[]>('jsonl.gz', 'jsonl.zst'),
    targetBytes: fc.constantFrom(400, 100_000),
    piecesMax: fc.constantFrom(4, 1_000),
    processes: fc.array(anyProcess(whats), { maxLength: 5 }),
  })

function eventsOf(inputs: readonly Input[], partition: number): readonly LoggedEvent[] {
  let atMs = T0
  return inputs.map(({ user, collection, minutes }, index) => {
    atMs += minutes * MINUTE
    return {
      project: 'p',
      collection,
      id: Buffer.alloc(16, `${partition}-${index}-`),
      timestampMs: T0,
      createdAtMs: atMs,
      repeatKey: null,
      properties: Buffer.from(`{"user":"${user}","n":"${partition}-${index}"}`),
    }
  })
}

const userOf = ({ properties }: LoggedEvent): User => (JSON.parse(String(properties)) as { user: User }).user

interface Asked {
  readonly user: User
  isDone: boolean
}

interface World {
  readonly bucket: MemoryBucketState
  readonly events: readonly LoggedEvent[]
  readonly settings: typeof COMPACTION_DEFAULTS
  readonly asked: Asked[]
  readonly folder: string
  nowMs: number
  /** Of processes: the last one holds the work. */
  started: number
}

class Crash extends Error {}
const totals = { crashes: 0, lost: 0, frozen: 0, merged: 0, revised: 0, removed: 0, erasedInMerged: 0, dropped: 0 }

const deletionOf = (collection: string, user: User): Deletion => ({
  id: `${collection}-${user}`,
  projectId: 'p',
  collection,
  what: 'events',
  atMs: T0 + 10_000 * HOUR,
  timeframe: null,
  filters: parseFilters([{ property_name: 'user', operator: 'eq', property_value: user }]),
  segments: [],
  progress: { state: 'pending', matched: 0, startedAtMs: null, doneAtMs: null },
})

/** What a reader must find, and what it may. */
async function check({ bucket, events, asked }: World): Promise<void> {
  const found = await readByManifests(openQuietly(bucket))
  const going = new Set(asked.map(({ user }) => user))
  const gone = new Set(asked.filter(({ isDone }) => isDone).map(({ user }) => user))
  for (const event of events) {
    const properties = found.get(idText(event.id))
    if (!going.has(userOf(event))) expect(properties).toBe(String(event.properties))
    if (gone.has(userOf(event))) expect(properties).toBeUndefined()
    found.delete(idText(event.id))
  }
  expect(found.size).toBe(0)
}

/** Does what the worker does, in its order, until there is nothing left to do for now. */
async function upkeep(world: World, compaction: Compaction, step: Step, confirm: () => Promise<void>): Promise<void> {
  const archive = openMemoryBucket(world.bucket, step)
  for (;;) {
    const isSettled = await compaction.settle()
    const due = world.asked.filter(({ isDone }) => !isDone)
    if (due.length > 0 && !isSettled) return
    for (const one of due) {
      for (const collection of ['even', 'odd']) {
        const before = await namedObjects(openQuietly(world.bucket))
        const deps = { archive, folder: world.folder, confirm, signal: never }
        const done = await eraseArchive(deps, deletionOf(collection, one.user), () => undefined)
        if (done.erased > 0 && before.some(({ at }) => at !== undefined)) totals.erasedInMerged += 1
      }
      one.isDone = true
    }
    if (due.length === 0 && !(await compaction.advance())) return
  }
}

interface Running {
  readonly settled: Promise<'ended' | 'frozen'>
  thaw(): Promise<void>
}

/** Runs a process until it has nothing left to do, crashed, or froze; `thaw` lets a frozen one go on to its end. */
function startProcess(world: World, { faults }: Pick<Process, 'faults'>): Running {
  world.started += 1
  const mine = world.started
  const frozen = Promise.withResolvers<'frozen'>()
  const gate = Promise.withResolvers<void>()
  let steps = 0
  let isDead = false
  const step: Step = async (label) => {
    if (isDead) throw new Crash('dead')
    if (/^after (put manifests|delete)/.test(label)) await check(world)
    const fault = faults.find(({ at }) => at === steps)
    steps += 1
    if (fault?.what === 'crash') {
      isDead = true
      totals.crashes += 1
      throw new Crash(label)
    }
    if (fault?.what === 'lost') {
      totals.lost += 1
      throw new AppError('BUCKET_UNAVAILABLE', label)
    }
    if (fault?.what === 'freeze') {
      totals.frozen += 1
      frozen.resolve('frozen')
      await gate.promise
    }
  }
  const confirm = async (): Promise<void> => {
    if (isDead) throw new Crash('dead')
    if (world.started !== mine) throw new AppError('LOG_FENCED', 'somebody else has it')
  }
  const registry = new Registry()
  const metrics = new CompactionMetrics(registry, () => undefined)
  const compaction = new Compaction({
    archive: openMemoryBucket(world.bucket, step),
    folder: world.folder,
    settings: world.settings,
    metrics,
    logger: silent,
    isArchived: async () => true,
    confirm,
    signal: never,
    now: () => world.nowMs,
  })
  const live = async (): Promise<void> => {
    for (let rounds = 0; rounds < ROUNDS; ) {
      try {
        await upkeep(world, compaction, step, confirm)
        rounds += 1
        world.nowMs += 20 * MINUTE // what it merged is cleared in the next round
      } catch (error) {
        if (error instanceof Crash || hasCode(error, 'LOG_FENCED')) break
        // Who slept may find that things are gone, before it hears that the work is another's.
        if (error instanceof AppError && world.started !== mine) break
        if (!hasCode(error, 'BUCKET_UNAVAILABLE')) throw error
        world.nowMs += MINUTE // the worker tries again
      }
    }
    const sum = async (name: string): Promise<number> =>
      ((await registry.getSingleMetric(`compaction_${name}_total`)?.get())?.values ?? []).reduce(
        (total, { value }) => total + value,
        0,
      )
    totals.merged += await sum('objects_merged')
    totals.revised += await sum('ranges_revised')
    totals.removed += await sum('removed')
    totals.dropped += await sum('dropped')
  }
  const run = live()
  return {
    settled: Promise.race([run.then(() => 'ended' as const), frozen.promise]),
    async thaw() {
      gate.resolve()
      await run
    },
  }
}

/** Times that a process looks whether there is something to do. */
const ROUNDS = 3

let cases = 0
async function newWorld(one: Case): Promise<World> {
  cases += 1
  const folder = join(base, String(cases))
  const partitions = one.partitions.map(eventsOf)
  return {
    bucket: await archiveInMemory(join(folder, 'exporter'), partitions, { format: one.format }),
    events: partitions.flat(),
    settings: { ...COMPACTION_DEFAULTS, targetBytes: one.targetBytes, piecesMax: one.piecesMax },
    asked: [],
    folder: join(folder, 'upkeep'),
    nowMs: T0,
    started: 0,
  }
}

/** One process after the other, the last two of which nothing happens to. One that froze wakes up when the next one has ended. */
async function runAll(world: World, processes: readonly Process[]): Promise<void> {
  let zombie: Running | undefined
  for (const process of [...processes, ...Array.from({ length: 2 }, () => LAST)]) {
    world.nowMs += process.minutes * MINUTE
    if (process.erased !== undefined) world.asked.push({ user: process.erased, isDone: false })
    const running = startProcess(world, process)
    const how = await running.settled
    await zombie?.thaw()
    zombie = how === 'frozen' ? running : undefined
  }
  await zombie?.thaw()
}
const LAST: Process = { minutes: 30 * 60, erased: undefined, faults: [] }

test('broken off anywhere and without answers, a reader of manifests finds each event once, and nothing is left over', async () => {
  await fc.assert(
    fc.asyncProperty(anyCase(['crash', 'lost']), async (one) => {
      const world = await newWorld(one)
      const before = [...world.bucket.objects.keys()].filter((key) => key.startsWith('events/')).length
      await runAll(world, one.processes)
      await check(world)
      const bucket = openQuietly(world.bucket)
      for (const quick of [false, true]) expect(await findingsOf(bucket, quick)).toEqual([])
      // Nothing is there but what the newest manifests name, and nothing of what was erased is in it.
      const named = new Set((await namedObjects(bucket)).map(({ key }) => key))
      const stored = [...world.bucket.objects.keys()].filter((key) => key.startsWith('events/'))
      expect(stored.toSorted()).toEqual([...named].toSorted())
      expect(stored.length).toBeLessThanOrEqual(before)
      const revisions = [...world.bucket.objects.keys()].filter((key) => key.startsWith('manifests/'))
      expect(new Set(revisions.map((key) => key.replace(/(\.r\d+)?\.json$/, ''))).size).toBe(revisions.length)
      for (const key of stored) {
        const text = decompressed(world.bucket.objects.get(key)?.bytes ?? Buffer.alloc(0), key)
        for (const { user } of world.asked) expect(text).not.toContain(user)
      }
      rmSync(world.folder, { recursive: true, force: true })
    }),
    { numRuns: 120 },
  )
  const { crashes, lost, merged, revised, removed, erasedInMerged } = totals
  expect(Math.min(crashes, lost, merged, revised, removed, erasedInMerged)).toBeGreaterThan(10)
}, 300_000)

test('whoever sleeps in the middle and goes on beside another changes nothing of what a reader finds', async () => {
  await fc.assert(
    fc.asyncProperty(anyCase(['crash', 'freeze', 'freeze']), async (one) => {
      const world = await newWorld(one)
      await runAll(world, one.processes)
      await check(world)
      rmSync(world.folder, { recursive: true, force: true })
    }),
    { numRuns: 120 },
  )
  expect(totals.frozen).toBeGreaterThan(10)
}, 300_000)

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { Registry } from 'prom-client'
import { afterAll, expect, test } from 'vitest'
import {
  archivedPartitions,
  archivedRanges,
  readManifest,
  readObject,
} from '../../services/exporter/archive/read-archive.ts'
import type { ArchiveFormat } from '../../services/exporter/domain/archive-format.ts'
import { EXPORTER_DEFAULTS } from '../../services/exporter/settings.ts'
import { runExporter } from '../../services/exporter/worker.ts'
import { AppError } from '../../services/shared/errors.ts'
import { encodeEvent } from '../../services/shared/events/codec.ts'
import { idText, type LoggedEvent, REPEAT_WINDOW_MS } from '../../services/shared/events/event.ts'
import { MemoryBucketState, openMemoryBucket } from '../support/memory-bucket.ts'
import { MemoryLogState, openMemoryLog, type Step } from '../support/memory-log.ts'

const DAY = 86_400_000
const T0 = Date.UTC(2026, 0, 1)
const base = mkdtempSync(join(tmpdir(), 'tributary-export-model-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
const never = new AbortController().signal

interface Input {
  readonly kind: 'plain' | 'keyed' | 'garbage' | 'empty'
  readonly key: number
  /** Since the record before it; or, where the log's clock stands still, since the start. */
  readonly days: number
}

/** Something goes wrong at the nth step that a process takes. */
interface Fault {
  readonly at: number
  readonly what: 'crash' | 'lost' | 'freeze'
}

/** A process: where it runs, what it is told, and what goes wrong. */
interface Process {
  readonly machine: number
  readonly format: ArchiveFormat
  readonly rangeBytesMax: number
  readonly memoryBytesMax: number
  readonly faults: readonly Fault[]
}

const anyInput: fc.Arbitrary<Input> = fc.record({
  kind: fc.constantFrom<Input['kind'][]>('plain', 'keyed', 'keyed', 'keyed', 'garbage', 'empty'),
  key: fc.nat(2),
  days: fc.nat(70),
})

const anyProcess: fc.Arbitrary<Process> = fc.record({
  machine: fc.nat(2),
  format: fc.constantFrom<ArchiveFormat[]>('jsonl.gz', 'jsonl.zst', 'avro'),
  rangeBytesMax: fc.constantFrom(1, 250, 600, 1_000_000),
  memoryBytesMax: fc.constantFrom(1, 1_000_000),
  faults: fc.array(fc.record({ at: fc.nat(30), what: fc.constantFrom<Fault['what'][]>('crash', 'lost', 'freeze') }), {
    minLength: 1,
    maxLength: 3,
  }),
})

const anyCase = fc.record({
  partitions: fc.array(fc.array(anyInput, { maxLength: 10 }), { minLength: 1, maxLength: 2 }),
  isClockStill: fc.boolean(),
  // The last process, which nothing happens to, finishes.
  processes: fc.array(anyProcess, { maxLength: 6 }),
  last: anyProcess.map((process): Process => ({ ...process, faults: [] })),
})

/** A partition's events by their index; undefined for what is none. */
type Events = readonly (LoggedEvent | undefined)[]

function eventsOf(inputs: readonly Input[], partition: number, isClockStill: boolean): Events {
  let day = 0
  return inputs.map((input, index) => {
    day = isClockStill ? input.days : day + input.days / 3
    if (input.kind === 'garbage' || input.kind === 'empty') return undefined
    return {
      project: input.key === 2 ? 'q' : 'p',
      collection: input.key % 2 === 0 ? 'even' : 'odd',
      id: Buffer.alloc(16, `${partition}-${index}-`),
      timestampMs: T0,
      createdAtMs: T0 + Math.round(day * DAY),
      repeatKey: input.kind === 'keyed' ? Buffer.alloc(16, `${partition}/${input.key}`) : null,
      properties: Buffer.from(`{"n":"${partition}-${index}","text":"${'x'.repeat(index)}"}`),
    }
  })
}

/** Ids of what is to be kept, by the rule alone: all that was kept before is gone through for each event. */
function keptIds(events: Events): string[] {
  const kept: LoggedEvent[] = []
  for (const event of events) {
    if (event === undefined) continue
    const { repeatKey } = event
    const isRepeat =
      repeatKey !== null &&
      kept.some(
        (one) =>
          one.repeatKey?.equals(repeatKey) === true &&
          one.project === event.project &&
          one.collection === event.collection &&
          Math.abs(one.createdAtMs - event.createdAtMs) <= REPEAT_WINDOW_MS,
      )
    if (!isRepeat) kept.push(event)
  }
  return kept.map(({ id }) => idText(id))
}

interface World {
  readonly log: MemoryLogState
  readonly bucket: MemoryBucketState
  readonly folder: string
  mismatched: number
}

const totals = { replays: 0, matched: 0, crashes: 0, frozen: 0, repeats: 0, machines: 0, cuts: 0 }
class Crash extends Error {}

async function sumOf(registry: Registry, name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const metric = await registry.getSingleMetric(`exporter_${name}_total`)?.get()
  return (metric?.values ?? [])
    .filter((one) => Object.entries(labels).every(([label, value]) => one.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0)
}

interface Running {
  /** The folder it keeps what it knows in. */
  readonly machine: string
  readonly settled: Promise<'ended' | 'frozen'>
  thaw(): Promise<void>
}

/** Runs a process until it has nothing left to do, crashed, or froze; `thaw` lets a frozen one go on to its end. */
function startProcess(world: World, process: Process, machine: string): Running {
  const frozen = Promise.withResolvers<'frozen'>()
  const gate = Promise.withResolvers<void>()
  const registry = new Registry()
  const stop = new AbortController()
  let steps = 0
  let isDead = false
  const step: Step = async (label) => {
    if (isDead) throw new Crash('dead')
    const fault = process.faults.find(({ at }) => at === steps)
    steps += 1
    if (fault?.what === 'crash') {
      isDead = true
      totals.crashes += 1
      throw new Crash(label)
    }
    if (fault?.what === 'lost') {
      throw new AppError(label.includes(' commit ') ? 'LOG_UNAVAILABLE' : 'BUCKET_UNAVAILABLE', label)
    }
    if (fault?.what === 'freeze') {
      totals.frozen += 1
      frozen.resolve('frozen')
      await gate.promise
    }
    if (world.log.isDone()) stop.abort()
  }
  const { format, rangeBytesMax, memoryBytesMax } = process
  const settings = {
    ...EXPORTER_DEFAULTS,
    format,
    rangeBytesMax,
    memoryBytesMax,
    rangeAgeMs: 0,
    uploadsMax: 2,
    retryDelayMs: 0,
    retryDelayMaxMs: 0,
  }
  const deps = {
    log: openMemoryLog(world.log, step),
    bucket: openMemoryBucket(world.bucket, step),
    folder: join(world.folder, machine),
    registry,
    logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    settings,
    now: () => 0,
  }
  if (world.log.isDone()) stop.abort()
  const live = async (): Promise<void> => {
    try {
      await runExporter(deps, stop.signal)
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
    totals.replays += await sumOf(registry, 'ranges', { sealed_by: 'replay' })
    totals.matched += await sumOf(registry, 'objects', { outcome: 'matched' })
    world.mismatched += await sumOf(registry, 'objects', { outcome: 'mismatched' })
    const names = ['events_exported', 'events_repeated', 'records_unusable', 'records_abandoned']
    const outcomes = await Promise.all(names.map((name) => sumOf(registry, name)))
    expect(outcomes.reduce((sum, value) => sum + value, 0)).toBe(await sumOf(registry, 'records_read'))
  }
  const run = live()
  return {
    machine,
    settled: Promise.race([run.then(() => 'ended' as const), frozen.promise]),
    async thaw() {
      gate.resolve()
      await run
    },
  }
}

/** One process after the other; one that froze wakes up while a later one has its partitions. */
async function runAll(world: World, processes: readonly Process[], between: (index: number) => void): Promise<void> {
  let zombie: Running | undefined
  for (const [index, process] of processes.entries()) {
    const running = startProcess(world, process, machineFor(world, process, zombie))
    const how = await running.settled
    between(index)
    await zombie?.thaw()
    zombie = how === 'frozen' ? running : undefined
  }
  await zombie?.thaw()
}

/**
 * A frozen process lets its other partitions go on, which may be writing to the machine's index. A second index of this
 * very process would then wait for it, and hold up what it waits for: there, the next process is on another machine.
 */
function machineFor(world: World, { machine }: Process, zombie: Running | undefined): string {
  const name = `machine-${machine}`
  return world.log.partitions.length > 1 && zombie?.machine === name ? `${name}-beside` : name
}

const quiet: Step = async () => undefined

/** What readers of the archive find, by id; ranges are looked through for gaps on the way. */
async function archived(world: World): Promise<{ readonly found: Map<string, string>; readonly repeats: number }> {
  const bucket = openMemoryBucket(world.bucket, quiet)
  const found = new Map<string, string>()
  let repeats = 0
  for (const partition of await archivedPartitions(bucket, never)) {
    let next = 0n
    for await (const { key, first, last } of archivedRanges(bucket, partition, 0n, never)) {
      expect(first).toBe(next)
      next = last + 1n
      const manifest = await readManifest(bucket, key, never)
      expect([BigInt(manifest.first), BigInt(manifest.last)]).toEqual([first, last])
      repeats += manifest.repeats
      const unusable = Object.values(manifest.unusable).reduce((sum, count) => sum + count, 0)
      expect(manifest.events + manifest.repeats + unusable).toBe(manifest.records)
      for (const object of manifest.objects) {
        for await (const batch of readObject(bucket, object, never)) {
          for (const { id, properties, offset } of batch) {
            expect(found.has(id), 'an event is in the archive once').toBe(false)
            expect(offset >= first && offset <= last).toBe(true)
            found.set(id, `${object.project}/${object.collection}: ${String(properties)}`)
          }
        }
      }
    }
    const records = world.log.partitions[partition.partition] ?? []
    expect(next).toBe((records.at(-1)?.offset ?? -1n) + 1n)
  }
  return { found, repeats }
}

const contentOf = ({ project, collection, properties }: LoggedEvent): string =>
  `${project}/${collection}: ${String(properties)}`

let cases = 0
function newWorld(partitions: readonly (readonly Input[])[], isClockStill: boolean) {
  const events = partitions.map((inputs, partition) => eventsOf(inputs, partition, isClockStill))
  const values = partitions.map((inputs, partition) =>
    inputs.map(({ kind }, index) => {
      const event = events[partition]?.[index]
      if (event !== undefined) return encodeEvent(event)
      return kind === 'empty' ? null : Buffer.from('not avro at all')
    }),
  )
  const appendedAtMs = (partition: number, index: number): number => {
    if (isClockStill) return T0
    const before = events[partition]?.slice(0, index + 1).findLast((event) => event !== undefined)
    return before?.createdAtMs ?? T0
  }
  cases += 1
  const world: World = {
    log: new MemoryLogState(values, appendedAtMs),
    bucket: new MemoryBucketState(),
    folder: join(base, String(cases)),
    mismatched: 0,
  }
  return { world, events }
}

test('whatever crashes, freezes or gets no answer, every event to be kept is in the archive once, and no other', async () => {
  await fc.assert(
    fc.asyncProperty(anyCase, async ({ partitions, isClockStill, processes, last }) => {
      const { world, events } = newWorld(partitions, isClockStill)
      await runAll(world, [...processes, last], () => undefined)
      expect(world.log.isDone()).toBe(true)
      const { found, repeats } = await archived(world)
      expect([...found.keys()].toSorted()).toEqual(events.flatMap(keptIds).toSorted())
      for (const event of events.flat()) {
        if (event !== undefined && found.has(idText(event.id)))
          expect(found.get(idText(event.id))).toBe(contentOf(event))
      }
      expect(world.mismatched).toBe(0)
      for (const [key, digests] of world.bucket.sent) expect([key, digests.size]).toEqual([key, 1])
      totals.repeats += repeats
      totals.machines += new Set(processes.map(({ machine }) => machine)).size > 1 ? 1 : 0
      rmSync(world.folder, { recursive: true, force: true })
    }),
    { numRuns: 150 },
  )
  // Not by luck: the faults did happen, and did matter.
  const { crashes, frozen, replays, matched, repeats, machines } = totals
  expect(Math.min(crashes, frozen, replays, matched, repeats, machines)).toBeGreaterThan(10)
})

test('what retention takes from under an exporter is missing, and nothing else is; the exporter goes on', async () => {
  await fc.assert(
    fc.asyncProperty(anyCase, fc.array(fc.nat(6), { maxLength: 6 }), async (one, taken) => {
      const { world, events } = newWorld(one.partitions, true)
      await runAll(world, [...one.processes, one.last], (index) => {
        for (const [partition, start] of world.log.starts.entries()) {
          // A record stays, so that there is an end to come to.
          const end = world.log.partitions[partition]?.at(-1)?.offset ?? 0n
          const next = start + BigInt(2 * (taken[index] ?? 0))
          const intent = world.log.committed[partition]
          if (intent !== undefined && intent.metadata !== '' && next > intent.offset) totals.cuts += 1
          world.log.starts[partition] = next < end ? next : end
        }
      })
      const { found } = await archived(world)
      for (const [partition, list] of events.entries()) {
        const start = world.log.starts[partition] ?? 0n
        for (const [index, event] of list.entries()) {
          if (event === undefined || event.repeatKey !== null || BigInt(2 * index) < start) continue
          expect(found.get(idText(event.id))).toBe(contentOf(event))
        }
      }
      rmSync(world.folder, { recursive: true, force: true })
    }),
    { numRuns: 60 },
  )
  expect(totals.cuts).toBeGreaterThan(5)
})

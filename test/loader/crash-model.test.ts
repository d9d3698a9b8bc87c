import * as fc from 'fast-check'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { NO_DELETIONS } from '../../services/shared/deletions/domain/erase.ts'
import { LOADER_DEFAULTS } from '../../services/loader/settings.ts'
import { runLoader } from '../../services/loader/worker.ts'
import { AppError } from '../../services/shared/errors.ts'
import { encodeEvent } from '../../services/shared/events/codec.ts'
import type { LoggedEvent } from '../../services/shared/events/event.ts'
import { findRepeats } from '../../services/shared/events/repeats.ts'
import { MemoryLogState, openMemoryLog, type Step } from '../support/memory-log.ts'
import { MemoryWarehouseState, openMemoryWarehouse } from '../support/memory-warehouse.ts'

const DAY = 86_400_000
const T0 = Date.UTC(2026, 0, 1)

type Kind = 'plain' | 'keyed' | 'refused' | 'garbage' | 'empty'
interface Input {
  readonly kind: Kind
  readonly key: number
  readonly days: number
}

function toEvent(input: Input, name: string): LoggedEvent | undefined {
  if (input.kind === 'garbage' || input.kind === 'empty') return undefined
  const body = input.kind === 'refused' ? `{"refused":"${name}"}` : `{"n":"${name}"}`
  return {
    project: 'p',
    collection: input.key % 2 === 0 ? 'even' : 'odd',
    id: Buffer.alloc(16),
    timestampMs: T0 - input.days * 40 * DAY,
    createdAtMs: T0 + input.days * DAY,
    repeatKey:
      input.kind === 'keyed' || (input.kind === 'refused' && input.key === 0)
        ? Buffer.alloc(16, `${name.split('-', 1)[0]}/${input.key}`)
        : null,
    properties: Buffer.from(body),
  }
}

const toValue = (input: Input, name: string): Buffer | null => {
  const event = toEvent(input, name)
  if (event !== undefined) return encodeEvent(event)
  return input.kind === 'empty' ? null : Buffer.from('not avro at all')
}

/** Something goes wrong at the nth step that a process takes. */
interface Fault {
  readonly at: number
  readonly what: 'crash' | 'lost' | 'freeze'
}

const anyInput = fc.record({
  kind: fc.constantFrom<Kind[]>('plain', 'plain', 'keyed', 'keyed', 'refused', 'garbage', 'empty'),
  key: fc.nat(3),
  days: fc.nat(70),
})

const anyCase = fc.record({
  partitions: fc.array(fc.array(anyInput, { maxLength: 12 }), { minLength: 1, maxLength: 2 }),
  // One list a process; the last process, which has none, finishes.
  processes: fc.array(
    fc.array(fc.record({ at: fc.nat(14), what: fc.constantFrom<Fault['what'][]>('crash', 'lost', 'freeze') }), {
      minLength: 1,
      maxLength: 3,
    }),
    { maxLength: 5 },
  ),
  rows: fc.integer({ min: 1, max: 6 }),
})

class Crash extends Error {}

interface World {
  readonly log: MemoryLogState
  readonly warehouse: MemoryWarehouseState
  readonly rows: number
}

const totals = { replays: 0, repeatedTokens: 0, crashes: 0, frozen: 0 }

async function sumOf(registry: Registry, name: string): Promise<number> {
  const metric = await registry.getSingleMetric(name)?.get()
  return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0)
}

/** Runs a process until it has nothing left to do, crashed, or froze; `thaw` lets a frozen one go on to its end. */
function startProcess(world: World, faults: readonly Fault[]): { settled: Promise<void>; thaw(): Promise<void> } {
  const frozen = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const registry = new Registry()
  const stop = new AbortController()
  let steps = 0
  let isDead = false
  const step: Step = async (label) => {
    if (isDead) throw new Crash('dead')
    const fault = faults.find(({ at }) => at === steps)
    steps += 1
    if (fault?.what === 'crash') {
      isDead = true
      totals.crashes += 1
      throw new Crash(label)
    }
    if (fault?.what === 'lost') {
      throw new AppError(
        label.includes('insert') || label.includes('look') ? 'WAREHOUSE_UNAVAILABLE' : 'LOG_UNAVAILABLE',
        label,
      )
    }
    if (fault?.what === 'freeze') {
      totals.frozen += 1
      frozen.resolve()
      await gate.promise
    }
    if (world.log.isDone()) stop.abort()
  }
  const deps = {
    log: openMemoryLog(world.log, step),
    warehouse: openMemoryWarehouse(world.warehouse, step),
    registry,
    deletions: NO_DELETIONS,
    logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    settings: { ...LOADER_DEFAULTS, batchRowsMax: world.rows, batchAgeMs: 0, retryDelayMs: 0, retryDelayMaxMs: 0 },
  }
  if (world.log.isDone()) stop.abort()
  const live = async (): Promise<void> => {
    try {
      await runLoader(deps, stop.signal)
    } catch (error) {
      if (!(error instanceof Crash)) throw error
    }
    totals.replays += await sumOf(registry, 'loader_replays_total')
    const names = [
      'read_total',
      'stored_total',
      'repeated_total',
      'dead_lettered_total',
      'abandoned_total',
      'in_flight',
    ]
    const [read, ...outcomes] = await Promise.all(names.map((name) => sumOf(registry, `loader_events_${name}`)))
    expect(outcomes.reduce((sum, value) => sum + value, 0)).toBe(read)
    expect(outcomes.at(-1)).toBe(0)
  }
  const run = live()
  return {
    settled: Promise.race([run, frozen.promise]),
    async thaw() {
      gate.resolve()
      await run
    },
  }
}

test('whatever crashes, freezes or gets no answer, every record ends once: stored, known as a repeat, or dead', async () => {
  await fc.assert(
    fc.asyncProperty(anyCase, async ({ partitions, processes, rows }) => {
      const name = (partition: number, index: number): string => `${partition}-${index}`
      const values = partitions.map((list, partition) =>
        list.map((input, index) => toValue(input, name(partition, index))),
      )
      const world: World = { log: new MemoryLogState(values), warehouse: new MemoryWarehouseState(), rows }
      const zombies: { thaw(): Promise<void> }[] = []
      for (const faults of [...processes, []]) {
        const running = startProcess(world, faults)
        await running.settled
        // A process that was frozen before wakes up while a later one has its partitions.
        await zombies.pop()?.thaw()
        zombies.push(running)
      }
      for (const zombie of zombies) await zombie.thaw()

      expect(world.log.isDone()).toBe(true)
      const stored = world.warehouse.events.map(({ body }) => body).toSorted()
      const dead = [...new Set(world.log.deadLetters.map(({ key }) => String(key)))].toSorted()
      const expectedStored: string[] = []
      const expectedDead: string[] = []
      for (const [partition, list] of partitions.entries()) {
        const events = list.map((input, index) => toEvent(input, name(partition, index)))
        const good = events.filter((event) => event !== undefined)
        const repeats = findRepeats(good, new Map())
        for (const [index, event] of good.entries()) {
          const isRefused = String(event.properties).includes('refused')
          if (repeats[index] !== true && !isRefused) expectedStored.push(String(event.properties))
        }
        for (const [index, event] of events.entries()) {
          // A repeat is dropped before the warehouse could refuse it.
          const isRepeat = event !== undefined && repeats[good.indexOf(event)] === true
          const isDead = event === undefined || (String(event.properties).includes('refused') && !isRepeat)
          if (isDead) expectedDead.push(`tributary.events/epoch-1/${partition}/${index * 2}`)
        }
      }
      expect(stored).toEqual(expectedStored.toSorted())
      expect(new Set(stored).size).toBe(stored.length)
      expect(dead).toEqual(expectedDead.toSorted())
      totals.repeatedTokens += world.warehouse.tokensSeenAgain
    }),
    { numRuns: 400 },
  )
  // Not by luck: the faults did happen, and did matter.
  expect(Math.min(totals.crashes, totals.frozen, totals.replays, totals.repeatedTokens)).toBeGreaterThan(10)
})

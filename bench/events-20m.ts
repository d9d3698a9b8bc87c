import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openChdbWarehouse } from '../services/shared/warehouse/chdb.ts'
import { migrate } from '../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../services/shared/warehouse/port.ts'

/** The project that is asked, and one beside it whose events lie in the same table. */
export const PROJECT = 'b'.repeat(24)
export const NEIGHBOUR = 'c'.repeat(24)
export const START_MS = Date.UTC(2025, 10, 1)
export const END_MS = Date.UTC(2026, 1, 1)
const CHUNK = 500_000

interface Part {
  readonly project: string
  readonly collection: string
  /** Of all events. */
  readonly share: number
  /** SQL for the rest of the body's JSON text, a comma before it. */
  readonly more: string
}

const h = (salt: number): string => `cityHash64(number, ${salt})`
const oneOf = (values: readonly string[], salt: number): string =>
  `[${values.map((value) => `'${value}'`).join(', ')}][${h(salt)} % ${values.length} + 1]`

const PAGE = `',"page":"/x/', toString(${h(4)} % 300), '","duration":', toString(${h(3)} % 5000)`
const PARTS: readonly Part[] = [
  // `ref` is a text, a number, a boolean, null, or not there.
  {
    project: PROJECT,
    collection: 'views',
    share: 0.6,
    more: `${PAGE}, multiIf(${h(5)} % 8 = 0, ',"ref":12', ${h(5)} % 8 = 1, ',"ref":true', ${h(5)} % 8 = 2, ',"ref":null', ${h(5)} % 8 = 3, '', concat(',"ref":"r', toString(${h(6)} % 50), '"'))`,
  },
  // Every other price is a whole number, which JSON keeps apart in no way and ClickHouse does.
  {
    project: PROJECT,
    collection: 'purchases',
    share: 0.25,
    more: `',"price":', toString(if(${h(7)} % 2 = 0, ${h(7)} % 1000, ${h(7)} % 1000 + 0.5)), ',"tags":["t', toString(${h(8)} % 20), '","t', toString(${h(9)} % 20), '"],"quantity":', toString(${h(10)} % 9 + 1)`,
  },
  {
    project: PROJECT,
    collection: 'signups',
    share: 0.05,
    more: `',"source":"', ${oneOf(['ad', 'mail', 'web'], 11)}, '"'`,
  },
  { project: NEIGHBOUR, collection: 'views', share: 0.1, more: PAGE },
]

const USER = `'{"user":{"id":"u', toString(${h(0)} % 500000), '","plan":"', ${oneOf(['free', 'pro', 'team'], 1)}, '"},"country":"', ${oneOf(['de', 'us', 'fr', 'nl', 'br'], 2)}, '","device":{"os":{"name":"', ${oneOf(['ios', 'android', 'linux'], 12)}, '"}}'`

export const eventsOf = (collection: string, rows: number): number =>
  Math.round(rows * (PARTS.find((part) => part.project === PROJECT && part.collection === collection)?.share ?? 0))

async function fill(warehouse: Warehouse, rows: number, seed: number): Promise<void> {
  for (const [i, { project, collection, share, more }] of PARTS.entries()) {
    const count = Math.round(rows * share)
    // A seed moves the numbers that everything is hashed from.
    const first = seed * 1_000_000_000 + i * 100_000_000
    for (let from = 0; from < count; from += CHUNK) {
      await warehouse.command(
        `INSERT INTO events (project, collection, timestamp, created_at, id, properties, body)
         SELECT {project:String}, {collection:String}, at, at,
           reinterpretAsUUID(reverse(reinterpretAsFixedString(toUInt128(number)))), json, json
         FROM (
           SELECT number, concat(${USER}, ${more}, '}') AS json,
             fromUnixTimestamp64Milli(toInt64({start:Int64} + (number - {first:UInt64}) * {every:Float64}), 'UTC') AS at
           FROM numbers({from:UInt64}, {count:UInt64})
         )
         SETTINGS max_insert_threads = 2, max_block_size = 100000, min_insert_block_size_rows = ${CHUNK}`,
        {
          project,
          collection,
          start: START_MS,
          first,
          every: (END_MS - START_MS) / count,
          from: first + from,
          count: Math.min(CHUNK, count - from),
        },
      )
    }
  }
}

/**
 * A warehouse with `rows` events, each a function of its number and of the seed. With `keep` its folder stays and is
 * taken as it is the next time; without it `close` removes it.
 */
export async function openGenerated(options: {
  readonly rows: number
  readonly seed: number
  readonly keep: boolean
}): Promise<{ readonly warehouse: Warehouse; readonly folder: string; readonly close: () => Promise<void> }> {
  const folder = join(tmpdir(), `tributary-bench-events-${options.rows}-${options.seed}`)
  const done = join(folder, 'generated')
  const isThere = existsSync(done)
  if (!isThere) rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const warehouse = await openChdbWarehouse({ folder, readSessions: 4 })
  const close = async (): Promise<void> => {
    await warehouse.close()
    if (!options.keep) rmSync(folder, { recursive: true, force: true })
  }
  try {
    await migrate(warehouse, { signal: new AbortController().signal })
    if (!isThere) {
      const startedMs = performance.now()
      await fill(warehouse, options.rows, options.seed)
      writeFileSync(done, '')
      console.log(`generated ${options.rows} events in ${Math.round((performance.now() - startedMs) / 1000)} s`)
    }
    return { warehouse, folder, close }
  } catch (error) {
    await close()
    throw error
  }
}

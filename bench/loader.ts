/**
 * How fast does the loader move events from the log to the warehouse, as a share of inserting the same rows, prebuilt,
 * into the same table? With `--http` the warehouse is another process, so that the memory shown is the loader's own.
 *
 *     UV_THREADPOOL_SIZE=16 node bench/loader.ts [--events 400000] [--runs 3] [--partitions 4] [--http]
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { Registry } from 'prom-client'
import type { LoadableEvent } from '../services/loader/domain/decode.ts'
import { toParts } from '../services/loader/prepare.ts'
import { RowBuffers } from '../services/loader/row-buffers.ts'
import { EVENT_COLUMNS, EVENTS_TABLE } from '../services/loader/rows.ts'
import { LOADER_DEFAULTS } from '../services/loader/settings.ts'
import { LOADER_GROUP, runLoader } from '../services/loader/worker.ts'
import { encodeEvent } from '../services/shared/events/codec.ts'
import type { LoggedEvent } from '../services/shared/events/event.ts'
import { openLmdbLog } from '../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../services/shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../services/shared/log/topics.ts'
import { openChdbWarehouse } from '../services/shared/warehouse/chdb.ts'
import { openHttpWarehouse } from '../services/shared/warehouse/http.ts'
import { migrate } from '../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../services/shared/warehouse/port.ts'
import { startFront } from '../test/support/start-clickhouse.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '400000' },
    runs: { type: 'string', default: '3' },
    partitions: { type: 'string', default: '4' },
    http: { type: 'boolean', default: false },
    // Of the process that loads, which this file starts itself.
    log: { type: 'string' },
    url: { type: 'string' },
  },
})
const EVENTS = Number(values.events)
const RUNS = Number(values.runs)
const PARTITIONS = Number(values.partitions)
const BATCH = LOADER_DEFAULTS.batchRowsMax
const T0 = Date.UTC(2026, 0, 1)
const never = new AbortController().signal
const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

/** About 250 bytes of properties, in five collections. */
function eventOf(n: number): LoggedEvent {
  const body = {
    page: `/products/${n % 977}`,
    price: (n % 10_007) / 100,
    quantity: n % 7,
    customer: { id: `customer-${n % 5_003}`, plan: n % 3 === 0 ? 'free' : 'paid', country: ['SE', 'DE', 'FR'][n % 3] },
    agent: { name: 'Firefox', version: 120 + (n % 9), mobile: n % 2 === 0 },
    referrer: `https://example.com/${n % 31}`,
    test: n % 11 === 0,
  }
  const id = Buffer.alloc(16)
  id.writeUInt32BE(n)
  return {
    project: '5f0c00000000000000000001',
    collection: `collection-${n % 5}`,
    id,
    timestampMs: T0 + n * 10,
    createdAtMs: T0 + n * 10,
    repeatKey: null,
    properties: Buffer.from(JSON.stringify(body)),
  }
}

async function fillLog(log: EventLog): Promise<void> {
  for (let start = 0; start < EVENTS; start += 5_000) {
    const messages = Array.from({ length: Math.min(5_000, EVENTS - start) }, (_, index) => {
      const n = start + index
      return { partition: n % PARTITIONS, key: null, value: encodeEvent(eventOf(n)) }
    })
    await log.append(EVENTS_TOPIC, messages)
  }
}

async function count(warehouse: Warehouse): Promise<number> {
  const limits = { executionS: 60, rowsToRead: 0, memoryBytes: 4e9, resultRows: 1e6, resultBytes: 1e9 }
  const sql = 'SELECT count() FROM events'
  const { rows } = await warehouse.read({ sql, params: {}, limits, queryId: randomUUID(), signal: never })
  return Number(rows[0]?.[0])
}

async function direct(warehouse: Warehouse): Promise<number> {
  const payloads: { rowBinary: Buffer; rowCount: number }[] = []
  for (let start = 0; start < EVENTS; start += BATCH) {
    const events = Array.from({ length: Math.min(BATCH, EVENTS - start) }, (_, index): LoadableEvent => {
      const record = { partition: 0, offset: BigInt(start + index), key: null, value: null, appendedAtMs: 0 }
      return { record, event: eventOf(start + index) }
    })
    for (const part of await toParts('direct', events, new RowBuffers(0))) {
      payloads.push({ rowBinary: part.rowBinary, rowCount: part.events.length })
    }
  }
  await warehouse.command('TRUNCATE TABLE events')
  const started = performance.now()
  for (const payload of payloads) {
    const deadlineMs = performance.now() + 60_000
    const request = { table: EVENTS_TABLE, columns: EVENT_COLUMNS, token: randomUUID(), deadlineMs, signal: never }
    await warehouse.insert({ ...request, ...payload })
  }
  const rate = EVENTS / ((performance.now() - started) / 1000)
  if ((await count(warehouse)) !== EVENTS) throw new Error('the direct inserts lost rows')
  return rate
}

/** Resident memory without the pages of mapped files: the log's, which are the kernel's cache. */
function ownBytes(): number {
  const kib = /RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return kib === undefined ? process.memoryUsage().rss : Number(kib) * 1024
}

interface Loaded {
  readonly rate: number
  readonly rssMiB: number
}

async function loadToEnd(log: EventLog, warehouse: Warehouse): Promise<Loaded> {
  const stop = new AbortController()
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined }
  let rss = 0
  const started = performance.now()
  const run = runLoader({ log, warehouse, registry: new Registry(), settings: LOADER_DEFAULTS, logger }, stop.signal)
  const ends = await log.ends(EVENTS_TOPIC)
  for (;;) {
    const committed = await log.committed(EVENTS_TOPIC, LOADER_GROUP)
    rss = Math.max(rss, ownBytes())
    if (ends.every(({ partition, end }) => committed.get(partition)?.offset === end)) break
    await Promise.race([delay(10), run])
  }
  const rate = EVENTS / ((performance.now() - started) / 1000)
  stop.abort()
  await run
  return { rate, rssMiB: Math.round(rss / 2 ** 20) }
}

const overHttp = (url: string): Warehouse => {
  const timing = { connectionsMax: 10, idleSocketMs: 2_000, requestTimeoutMs: 120_000 }
  return openHttpWarehouse({ url: new URL(url), username: 'default', password: '', database: 'default', ...timing })
}

/** A loader in a process of its own, with nothing else in its memory. */
async function loadElsewhere(logFolder: string, url: string): Promise<Loaded> {
  const args = [import.meta.filename, '--events', String(EVENTS), '--log', logFolder, '--url', url]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout) as Loaded
}

if (values.log !== undefined && values.url !== undefined) {
  const log = await openLmdbLog({ folder: values.log })
  const warehouse = overHttp(values.url)
  console.log(JSON.stringify(await loadToEnd(log, warehouse)))
  await log.close()
  await warehouse.close()
  process.exit()
}

const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-'))
const front = values.http ? await startFront({ folder: join(folder, 'front') }) : undefined
const warehouse =
  front === undefined
    ? await openChdbWarehouse({ folder: join(folder, 'warehouse'), readSessions: 2 })
    : overHttp(front.url)
await migrate(warehouse, { signal: never })
const log = await openLmdbLog({ folder: join(folder, 'log') })
await log.ensureTopics(topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 }))

const machine = `${cpus().length} x ${cpus()[0]?.model ?? '?'}, ${Math.round(totalmem() / 2 ** 30)} GiB`
const bytes = encodeEvent(eventOf(1)).length
console.log(
  `${machine}; node ${process.version}; ${EVENTS} events of ${bytes} bytes; ${PARTITIONS} partitions; ${RUNS} runs`,
)
const rates: { direct: number; loader: number; rssMiB: number }[] = []
for (let run = 0; run < RUNS; run += 1) {
  const directly = await direct(warehouse)
  await fillLog(log)
  await warehouse.command('TRUNCATE TABLE events')
  const loaded =
    front === undefined ? await loadToEnd(log, warehouse) : await loadElsewhere(join(folder, 'log'), front.url)
  if ((await count(warehouse)) !== EVENTS) throw new Error('the loader lost or doubled events')
  rates.push({ direct: directly, loader: loaded.rate, rssMiB: loaded.rssMiB })
}
const result = {
  bench: 'loader',
  log: log.kind,
  warehouse: warehouse.kind,
  directRowsPerS: Math.round(median(rates.map(({ direct }) => direct))),
  loaderRowsPerS: Math.round(median(rates.map(({ loader }) => loader))),
  ratio: Math.round(median(rates.map(({ direct, loader }) => loader / direct)) * 100) / 100,
  rssMiBMax: Math.max(...rates.map(({ rssMiB }) => rssMiB)),
}
console.log(JSON.stringify(result))
await log.close()
await warehouse.close()
await front?.stop()
rmSync(folder, { recursive: true, force: true })

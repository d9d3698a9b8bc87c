/**
 * How fast does the loader move events from the log to the warehouse, as a share of inserting the same rows, prebuilt,
 * into the same table? Without a flag everything is in one process, on the embedded log and the embedded engine. With
 * `--http` the loader is a process of its own, and the warehouse another: the memory shown is the loader's alone. With
 * `--kafka` also the log is real, and ClickHouse's own Kafka engine takes its turn.
 *
 *     npm run bench -- loader, or node bench/loader.ts [--events 400000] [--runs 5] [--partitions 4] [--http] [--kafka]
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { Registry } from 'prom-client'
import type { DecodedEvent } from '../services/shared/events/domain/decode-record.ts'
import { toParts } from '../services/loader/prepare.ts'
import { RowBuffers } from '../services/loader/row-buffers.ts'
import { EVENT_COLUMNS, EVENTS_TABLE } from '../services/shared/events/rows.ts'
import { NO_DELETIONS } from '../services/shared/deletions/domain/erase.ts'
import { LOADER_DEFAULTS } from '../services/loader/settings.ts'
import { LOADER_GROUP, runLoader } from '../services/loader/worker.ts'
import { encodeEvent } from '../services/shared/events/codec.ts'
import { openKafkaLog } from '../services/shared/log/kafka/open.ts'
import { openLmdbLog } from '../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../services/shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../services/shared/log/topics.ts'
import { openHttpWarehouse } from '../services/shared/warehouse/http.ts'
import { migrate } from '../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../services/shared/warehouse/port.ts'
import { startKafka } from '../test/support/kafka-server.ts'
import { startFront } from '../test/support/start-clickhouse.ts'
import { HEAP_FLAGS } from './heap-flags.ts'
import { loadByKafkaEngine } from './kafka-engine.ts'
import { eventOf, fillLog } from './loader-events.ts'
import { median, report } from './report.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '400000' },
    runs: { type: 'string', default: '5' },
    partitions: { type: 'string', default: '4' },
    http: { type: 'boolean', default: false },
    kafka: { type: 'boolean', default: false },
    // Of the process that loads, which this file starts itself: a folder or brokers, and the warehouse.
    log: { type: 'string' },
    url: { type: 'string' },
  },
})
const EVENTS = Number(values.events)
const RUNS = Number(values.runs)
const PARTITIONS = Number(values.partitions)
const JSON_TOPIC = 'bench.events.json'
const never = new AbortController().signal

async function count(warehouse: Warehouse): Promise<number> {
  const limits = { executionS: 60, rowsToRead: 0, memoryBytes: 4e9, resultRows: 1e6, resultBytes: 1e9 }
  const sql = 'SELECT count() FROM events'
  const { rows } = await warehouse.read({ sql, params: {}, limits, queryId: randomUUID(), signal: never })
  return Number(rows[0]?.[0])
}

async function direct(warehouse: Warehouse): Promise<number> {
  const batch = LOADER_DEFAULTS.batchRowsMax
  const payloads: { rowBinary: Buffer; rowCount: number }[] = []
  for (let start = 0; start < EVENTS; start += batch) {
    const events = Array.from({ length: Math.min(batch, EVENTS - start) }, (_, index): DecodedEvent => {
      const record = { partition: 0, offset: BigInt(start + index), key: null, value: null, appendedAtMs: 0 }
      return { record, event: eventOf(start + index) }
    })
    for (const part of await toParts('direct', events, { buffers: new RowBuffers(0), erase: (event) => event })) {
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
  return EVENTS / ((performance.now() - started) / 1000)
}

/** Resident memory without the pages of mapped files: the log's, which are the kernel's cache. */
function ownBytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8')
  const kib = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0)
  return (kib('RssAnon') + kib('RssShmem')) * 1024
}

interface Loaded {
  readonly rate: number
  readonly rssMiB: number
}

async function loadToEnd(log: EventLog, warehouse: Warehouse): Promise<Loaded> {
  const stop = new AbortController()
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined }
  let rss = 0
  const ends = await log.ends(EVENTS_TOPIC)
  const started = performance.now()
  const run = runLoader(
    { log, warehouse, registry: new Registry(), settings: LOADER_DEFAULTS, logger, deletions: NO_DELETIONS },
    stop.signal,
  )
  for (;;) {
    const committed = await log.committed(EVENTS_TOPIC, LOADER_GROUP)
    rss = Math.max(rss, ownBytes())
    if (ends.every(({ partition, end }) => committed.get(partition)?.offset === end)) break
    await Promise.race([delay(20), run])
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

const openLog = (place: string): Promise<EventLog> =>
  place.startsWith('/')
    ? openLmdbLog({ folder: place })
    : openKafkaLog({ brokers: place.split(','), clientId: 'bench', logger: { warn: () => undefined } })

/** A loader in a process of its own, with nothing else in its memory. */
async function loadElsewhere(log: string, url: string): Promise<Loaded> {
  const args = [...HEAP_FLAGS, import.meta.filename, '--events', String(EVENTS), '--log', log, '--url', url]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout) as Loaded
}

async function main(): Promise<void> {
  await using open = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-'))
  open.defer(() => rmSync(folder, { recursive: true, force: true }))
  const isApart = values.http || values.kafka
  let kafka: { readonly brokers: readonly string[] } | undefined
  if (values.kafka) {
    const started = await startKafka()
    if ('unavailable' in started) throw new Error(started.unavailable)
    open.defer(() => started.stop())
    kafka = started
  }
  const place = kafka?.brokers.join(',') ?? join(folder, 'log')
  const url = isApart ? await front(open, join(folder, 'front')) : undefined
  const warehouse = open.adopt(
    url === undefined ? await embedded(join(folder, 'warehouse')) : overHttp(url),
    (opened) => opened.close(),
  )
  await migrate(warehouse, { signal: never })
  const log = open.adopt(await openLog(place), (opened) => opened.close())
  const specs = topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 })
  await log.ensureTopics(specs)
  const json = { events: EVENTS, partitions: PARTITIONS, topic: JSON_TOPIC, json: true }
  if (kafka !== undefined) {
    await log.ensureTopics([{ name: JSON_TOPIC, partitions: PARTITIONS, compacted: false }])
    await fillLog(log, json)
  }

  const checked = async (who: string): Promise<void> => {
    const rows = await count(warehouse)
    if (rows !== EVENTS) throw new Error(`${who}: ${rows} rows of ${EVENTS} events`)
    await warehouse.command('TRUNCATE TABLE events')
  }
  const runs: { direct: number; loader: number; engine: number; rssMiB: number }[] = []
  for (let run = 0; run < RUNS; run += 1) {
    const directly = await direct(warehouse)
    await checked('direct inserts')
    await fillLog(log, { events: EVENTS, partitions: PARTITIONS })
    const loaded = url === undefined ? await loadToEnd(log, warehouse) : await loadElsewhere(place, url)
    await checked('the loader')
    let engine = Number.NaN
    if (kafka !== undefined) {
      const { brokers } = kafka
      const blockRows = LOADER_DEFAULTS.batchRowsMax
      const turn = { warehouse, brokers, topic: JSON_TOPIC, events: EVENTS, blockRows, count: () => count(warehouse) }
      engine = await loadByKafkaEngine(turn)
      await checked('the Kafka engine')
    }
    runs.push({ direct: directly, loader: loaded.rate, engine, rssMiB: loaded.rssMiB })
  }
  const rate = (of: (run: (typeof runs)[number]) => number): number => Math.round(median(runs.map(of)))
  const ratio = (of: (run: (typeof runs)[number]) => number): number => Math.round(median(runs.map(of)) * 100) / 100
  report('loader', {
    log: log.kind,
    warehouse: warehouse.kind,
    events: EVENTS,
    eventBytes: encodeEvent(eventOf(1)).length,
    partitions: PARTITIONS,
    ...(isApart ? { loaderFlags: HEAP_FLAGS.join(' ') } : {}),
    runs: RUNS,
    directRowsPerS: rate((run) => run.direct),
    loaderRowsPerS: rate((run) => run.loader),
    loaderToDirect: ratio((run) => run.loader / run.direct),
    ratios: runs.map((run) => Math.round((run.loader / run.direct) * 100) / 100),
    ...(kafka === undefined
      ? {}
      : { engineRowsPerS: rate((run) => run.engine), loaderToEngine: ratio((run) => run.loader / run.engine) }),
    loaderRssMiBMax: Math.max(...runs.map((run) => run.rssMiB)),
  })
}

async function front(open: AsyncDisposableStack, folder: string): Promise<string> {
  const running = await startFront({ folder })
  open.defer(() => running.stop())
  return running.url
}

async function embedded(folder: string): Promise<Warehouse> {
  const { openChdbWarehouse } = await import('../services/shared/warehouse/chdb.ts')
  return openChdbWarehouse({ folder, readSessions: 2 })
}

if (values.log !== undefined && values.url !== undefined) {
  const log = await openLog(values.log)
  const warehouse = overHttp(values.url)
  console.log(JSON.stringify(await loadToEnd(log, warehouse)))
  await log.close()
  await warehouse.close()
  process.exit()
}
process.env['UV_THREADPOOL_SIZE'] ??= '16'
await main()

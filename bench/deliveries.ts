/**
 * How much raw JSON do deliveries carry from the archive into a bucket a second of one core, in each format, as a share of reading
 * the same records from the log and compressing them with gzip -1 to nowhere? And Parquet's rows a second as a share of what
 * ClickHouse (chDB) takes to write the same rows from the delivered JSON lines. By turns, each in a process of its own.
 * Into a folder; with `--s3` on a real S3 server.
 *
 *     npm run bench -- deliveries, or node bench/deliveries.ts [--events 1000000] [--runs 3] [--s3]
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Registry } from 'prom-client'
import { DELIVERY_DEFAULTS } from '../services/exporter/deliveries/settings.ts'
import type { Course, CourseState } from '../services/exporter/deliveries/stream.ts'
import { runDeliveries } from '../services/exporter/deliveries/worker.ts'
import { formatOf } from '../services/exporter/formats/index.ts'
import { EXPORTER_DEFAULTS } from '../services/exporter/settings.ts'
import type { Bucket } from '../services/shared/bucket/port.ts'
import type { EventLog } from '../services/shared/log/port.ts'
import { topicSpecs } from '../services/shared/log/topics.ts'
import { STREAM_FORMATS } from '../services/shared/streams/model.ts'
import { ChdbEngine } from '../services/shared/warehouse/chdb-engine.ts'
import { startBucketServers } from '../test/support/bucket-servers.ts'
import {
  exportToEnd,
  inProcess,
  measured,
  MIB,
  newS3Bucket,
  openBucket,
  openLog,
  readAndCompress,
  type Turn,
} from './export-turns.ts'
import { HEAP_FLAGS } from './heap-flags.ts'
import { eventOf, fillLog } from './loader-events.ts'
import { median, report } from './report.ts'

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    runs: { type: 'string', default: '3' },
    s3: { type: 'boolean', default: false },
    // Of the process of one turn, which this file starts itself.
    turn: { type: 'string' },
    folder: { type: 'string', default: '' },
    to: { type: 'string', default: '' },
  },
})
const EVENTS = Number(values.events)
const RUNS = Number(values.runs)
const PARTITIONS = 4
const PROJECT = eventOf(0).project
const FORMATS = STREAM_FORMATS
type Format = (typeof FORMATS)[number]

const logOf = (folder: string): string => join(folder, 'log')
const archiveOf = (folder: string): string => join(folder, 'archive')

/** Delivers everything that is in the archive, in one delivery. */
async function deliverAll(log: EventLog, archive: Bucket, target: Bucket, format: Format): Promise<void> {
  const course: Course = {
    project: PROJECT,
    stream: format.replaceAll('.', '-'),
    createdAtMs: Date.now(),
    course: 'main',
    version: '1',
    span: { start_ms: 0, end_ms: null },
    layout: {
      format,
      prefix: '{collection}/',
      collections: null,
      filters: [],
      cadence_minutes: 60,
      target_bytes: 128 * MIB,
    },
  }
  const stop = new AbortController()
  const all = Promise.withResolvers<void>()
  const streams = {
    courses: () => [course],
    open: async () => target,
    report: (_: unknown, state: CourseState) => {
      if (state.events >= EVENTS) all.resolve()
    },
  }
  const settings = { ...DELIVERY_DEFAULTS, tickMs: 10, minuteMs: 1 }
  const logger = { info: () => undefined, warn: () => undefined }
  const deps = {
    log,
    archive,
    streams,
    folder: values.folder,
    registry: new Registry(),
    settings,
    logger,
    now: Date.now,
  }
  const run = runDeliveries(deps, stop.signal)
  await Promise.race([all.promise, run])
  stop.abort()
  await run
}

/** Writes the rows of the delivered JSON lines as Parquet, one file for each collection, as the delivery does. */
async function parquetByClickHouse(): Promise<void> {
  const engine = new ChdbEngine({ folder: join(values.folder, 'chdb'), readSessions: 1 })
  for (let collection = 0; collection < 5; collection += 1) {
    const lines = join(values.folder, 'jsonl.gz', `collection-${collection}`, '*.jsonl.gz')
    const file = join(values.folder, `clickhouse-${collection}.parquet`)
    rmSync(file, { force: true })
    const settings = {
      max_threads: 1,
      output_format_parquet_compression_method: 'zstd',
      output_format_parquet_parallel_encoding: 0,
    }
    const sql = `INSERT INTO FUNCTION file('${file}', 'Parquet') SELECT * FROM file('${lines}', 'JSONEachRow')`
    await engine.run({ sql, params: new Map(), settings, queryId: randomUUID(), lane: 'ask' })
  }
  await engine.close()
}

async function takeTurn(turn: string): Promise<Turn> {
  if (turn === 'chdb') return measured(parquetByClickHouse)
  const log = await openLog(logOf(values.folder))
  try {
    if (turn === 'read') return await measured(() => readAndCompress(log, EVENTS))
    const archive = await openBucket(archiveOf(values.folder))
    const target = await openBucket(values.to)
    const format = FORMATS.find((one) => one === turn)
    if (format === undefined) throw new Error(`no turn ${turn}`)
    return await measured(() => deliverAll(log, archive, target, format))
  } finally {
    await log.close()
  }
}

async function fillArchive(folder: string): Promise<void> {
  const log = await openLog(logOf(folder))
  const specs = topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 })
  await log.ensureTopics(specs)
  await fillLog(log, { events: EVENTS, partitions: PARTITIONS })
  const settings = { ...EXPORTER_DEFAULTS, rangeAgeMs: 500, drainMs: 0 }
  await exportToEnd(log, await openBucket(archiveOf(folder)), settings, join(folder, 'exporter'))
  await log.close()
}

async function main(): Promise<void> {
  await using open = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-'))
  open.defer(() => rmSync(folder, { recursive: true, force: true }))
  const servers = values.s3 ? await startBucketServers() : undefined
  if (servers !== undefined && 'unavailable' in servers) throw new Error(servers.unavailable)
  if (servers !== undefined) open.defer(() => servers.stop())
  await fillArchive(folder)
  const turn = async (name: string): Promise<Turn> => {
    const place = join(folder, name)
    if (servers === undefined) {
      rmSync(place, { recursive: true, force: true })
      mkdirSync(place, { recursive: true })
    }
    const to = servers === undefined ? place : await newS3Bucket(servers.s3)
    return inProcess(import.meta.filename, ['--events', String(EVENTS), '--turn', name, '--folder', folder, '--to', to])
  }
  if (servers !== undefined) {
    // JSON lines lie in a folder too, from which ClickHouse reads them.
    const place = join(folder, 'jsonl.gz')
    await inProcess(import.meta.filename, [
      '--events',
      String(EVENTS),
      '--turn',
      'jsonl.gz',
      '--folder',
      folder,
      '--to',
      place,
    ])
  }
  const names = ['read', ...FORMATS, 'chdb']
  const turns = new Map<string, Turn[]>(names.map((name) => [name, []]))
  for (let run = 0; run < RUNS; run += 1) for (const name of names) turns.get(name)?.push(await turn(name))
  const cpuOf = (name: string): readonly number[] => (turns.get(name) ?? []).map(({ cpuSeconds }) => cpuSeconds)
  const jsonMiB = (EVENTS * eventOf(1).properties.length) / MIB
  const rounded = (value: number): number => Math.round(value * 100) / 100
  const ratio = (to: string, name: string): number =>
    rounded(median(cpuOf(name).map((seconds, run) => (cpuOf(to)[run] ?? Number.NaN) / seconds)))
  const byFormat = (of: (format: Format) => number): Record<string, number> =>
    Object.fromEntries(FORMATS.map((format) => [formatOf(format).name, of(format)]))
  report('deliveries', {
    log: 'lmdb',
    archive: 'folder',
    to: values.s3 ? 's3' : 'folder',
    events: EVENTS,
    jsonBytes: eventOf(1).properties.length,
    runs: RUNS,
    flags: HEAP_FLAGS.join(' '),
    readAndGzipMiBPerCoreS: rounded(jsonMiB / median(cpuOf('read'))),
    mibPerCoreS: byFormat((format) => rounded(jsonMiB / median(cpuOf(format)))),
    toRead: byFormat((format) => ratio('read', format)),
    parquetRowsPerCoreS: Math.round(EVENTS / median(cpuOf('parquet'))),
    clickhouseRowsPerCoreS: Math.round(EVENTS / median(cpuOf('chdb'))),
    parquetToClickhouse: ratio('chdb', 'parquet'),
    rssMiBMax: Math.max(...FORMATS.flatMap((format) => (turns.get(format) ?? []).map(({ rssMiB }) => rssMiB))),
  })
}

if (values.turn === undefined) await main()
else {
  console.log(JSON.stringify(await takeTurn(values.turn)))
  process.exit()
}

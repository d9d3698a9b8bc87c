/**
 * How much raw JSON does the exporter archive a second of one core, as a share of reading the same records from the same log
 * and compressing them with gzip -1 to nowhere? By turns, each in a process of its own, so that its time on the processor
 * and its memory are its own. On the embedded log and a folder; with `--kafka` on a real Kafka and a real S3 server.
 * With `--kafka` also as a share of what `kcat` and `gzip -1` take for it, where kcat is installed.
 * `--memory`: 64 partitions, 200 collections and a bucket that takes 25 ms more for each object; the exporter's peak memory.
 *
 *     npm run bench -- exporter, or node bench/exporter.ts [--events 1000000] [--runs 5] [--partitions 4] [--kafka] [--memory]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { isArchiveFormat } from '../services/exporter/domain/archive-format.ts'
import { EXPORTER_DEFAULTS } from '../services/exporter/settings.ts'
import type { Bucket } from '../services/shared/bucket/port.ts'
import { encodeEvent } from '../services/shared/events/codec.ts'
import type { EventLog } from '../services/shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../services/shared/log/topics.ts'
import { startBucketServers } from '../test/support/bucket-servers.ts'
import { startKafka } from '../test/support/kafka-server.ts'
import {
  exportToEnd,
  inProcess,
  kcatAndGzipCpuSeconds,
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
    runs: { type: 'string', default: '5' },
    partitions: { type: 'string' },
    kafka: { type: 'boolean', default: false },
    memory: { type: 'boolean', default: false },
    format: { type: 'string', default: EXPORTER_DEFAULTS.format },
    // Of the process of one turn, which this file starts itself: whose turn, the log, the archive and a folder to work in.
    turn: { type: 'string' },
    log: { type: 'string', default: '' },
    to: { type: 'string', default: '' },
    folder: { type: 'string', default: '' },
  },
})
const EVENTS = Number(values.events)
const RUNS = Number(values.runs)
const FORMAT = isArchiveFormat(values.format) ? values.format : EXPORTER_DEFAULTS.format
const PARTITIONS = Number(values.partitions ?? (values.memory ? 64 : 4))
const COLLECTIONS = 200
const SLOW_PUT_MS = 25

/** Takes its time over each object, as a far and busy one does. */
const slowly = (bucket: Bucket): Bucket => ({
  ...bucket,
  async put(key, body, options) {
    await delay(SLOW_PUT_MS)
    await bucket.put(key, body, options)
  },
})

async function takeTurn(): Promise<Turn> {
  const log = await openLog(values.log)
  try {
    if (values.turn === 'read') return await measured(() => readAndCompress(log, EVENTS))
    const bucket = await openBucket(values.to)
    // What is left at the end of the log is old at once, and need not be waited for.
    const settings = { ...EXPORTER_DEFAULTS, format: FORMAT, rangeAgeMs: 500, drainMs: 0 }
    if (values.turn === 'export') return await measured(() => exportToEnd(log, bucket, settings, values.folder))
    return await measured(() =>
      exportToEnd(
        log,
        slowly(bucket),
        {
          ...settings,
          rangeAgeMs: 10_000,
          uploadsMax: EXPORTER_DEFAULTS.uploadsMax * 16,
        },
        values.folder,
      ),
    )
  } finally {
    await log.close()
  }
}

const turnOf = (turn: string, log: string, to: string, folder: string): Promise<Turn> => {
  const counts = ['--events', String(EVENTS), '--partitions', String(PARTITIONS), '--format', FORMAT]
  return inProcess(import.meta.filename, [...counts, '--turn', turn, '--log', log, '--to', to, '--folder', folder])
}

async function fillWide(log: EventLog): Promise<void> {
  for (let start = 0; start < EVENTS; start += 5_000) {
    const messages = Array.from({ length: Math.min(5_000, EVENTS - start) }, (_, index) => {
      const n = start + index
      const value = encodeEvent({ ...eventOf(n), collection: `collection-${Math.floor(n / PARTITIONS) % COLLECTIONS}` })
      return { partition: n % PARTITIONS, key: null, value }
    })
    await log.append(EVENTS_TOPIC, messages)
  }
}

async function main(): Promise<void> {
  await using open = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'tributary-bench-'))
  open.defer(() => rmSync(folder, { recursive: true, force: true }))
  let [brokers, s3] = ['', '']
  if (values.kafka) {
    const [kafka, buckets] = await Promise.all([startKafka(), startBucketServers()])
    if ('unavailable' in kafka) throw new Error(kafka.unavailable)
    if ('unavailable' in buckets) throw new Error(buckets.unavailable)
    open.defer(() => kafka.stop())
    open.defer(() => buckets.stop())
    brokers = kafka.brokers.join(',')
    s3 = buckets.s3
  }
  /** A log and a place for the archive, new for each run: what an earlier run wrote would be found. */
  const prepare = async (run: number): Promise<{ readonly place: string; readonly to: string }> => {
    const place = values.kafka ? brokers : join(folder, `log-${run}`)
    const log = await openLog(place)
    // Kafka's topic stays and gets longer; its consumers begin where they ended.
    const specs = topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 })
    await log.ensureTopics(specs)
    if (values.memory) await fillWide(log)
    else await fillLog(log, { events: EVENTS, partitions: PARTITIONS })
    await log.close()
    if (!values.kafka) return { place, to: join(folder, `archive-${run}`) }
    return { place, to: await newS3Bucket(s3) }
  }
  const sample = eventOf(1)
  const jsonMiB = (EVENTS * sample.properties.length) / MIB
  const setup = {
    log: values.kafka ? 'kafka' : 'lmdb',
    archive: values.kafka ? 's3' : 'folder',
    events: EVENTS,
    jsonBytes: sample.properties.length,
    partitions: PARTITIONS,
    exporterFlags: HEAP_FLAGS.join(' '),
    format: FORMAT,
  }
  if (values.memory) {
    const { place, to } = await prepare(0)
    const { rssMiB, seconds } = await turnOf('slow', place, to, join(folder, 'exporter'))
    const memory = {
      collections: COLLECTIONS,
      putMs: SLOW_PUT_MS,
      seconds: Math.round(seconds),
      exporterRssMiBMax: rssMiB,
    }
    report('exporter-memory', { ...setup, ...memory, isWithin512MiB: rssMiB < 512 })
    return
  }
  let kcatCpuSeconds: number | undefined
  const runs: { readonly read: Turn; readonly exported: Turn }[] = []
  for (let run = 0; run < RUNS; run += 1) {
    const { place, to } = await prepare(run)
    // Later the topic has more than one run's records.
    if (values.kafka && run === 0) kcatCpuSeconds = await kcatAndGzipCpuSeconds(brokers, EVENTS_TOPIC)
    const turns = {
      read: () => turnOf('read', place, to, folder),
      exported: () => turnOf('export', place, to, join(folder, `exporter-${run}`)),
    }
    // The first to read warms the caches for the other.
    const isReadFirst = run % 2 === 0
    const first = isReadFirst ? await turns.read() : await turns.exported()
    const second = isReadFirst ? await turns.exported() : await turns.read()
    runs.push(isReadFirst ? { read: first, exported: second } : { read: second, exported: first })
  }
  const perCore = (of: (run: (typeof runs)[number]) => Turn): number =>
    Math.round(median(runs.map((run) => jsonMiB / of(run).cpuSeconds)) * 10) / 10
  const ratios = runs.map(({ read, exported }) => Math.round((read.cpuSeconds / exported.cpuSeconds) * 100) / 100)
  report('exporter', {
    ...setup,
    runs: RUNS,
    readAndGzipMiBPerCoreS: perCore((run) => run.read),
    exporterMiBPerCoreS: perCore((run) => run.exported),
    exporterToRead: median(ratios),
    ratios,
    ...(kcatCpuSeconds !== undefined && {
      kcatAndGzipMiBPerCoreS: Math.round((jsonMiB / kcatCpuSeconds) * 10) / 10,
      exporterToKcat:
        Math.round((kcatCpuSeconds / median(runs.map(({ exported }) => exported.cpuSeconds))) * 100) / 100,
    }),
    exporterMiBPerS: Math.round(median(runs.map(({ exported }) => jsonMiB / exported.seconds)) * 10) / 10,
    exporterRssMiBMax: Math.max(...runs.map(({ exported }) => exported.rssMiB)),
  })
}

if (values.turn === undefined) await main()
else {
  console.log(JSON.stringify(await takeTurn()))
  process.exit()
}

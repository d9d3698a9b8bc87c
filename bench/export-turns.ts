/** What the benchmarks of the exporter and of deliveries have in common: turns that are measured, each in a process of its own. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createGzip } from 'node:zlib'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { Registry } from 'prom-client'
import type { ExporterSettings } from '../services/exporter/settings.ts'
import { EXPORTER_GROUP, runExporter } from '../services/exporter/worker.ts'
import { openFolderBucket } from '../services/shared/bucket/folder/open.ts'
import type { Bucket } from '../services/shared/bucket/port.ts'
import { createS3Client } from '../services/shared/bucket/s3/client.ts'
import { openS3Bucket } from '../services/shared/bucket/s3/open.ts'
import type { S3Settings } from '../services/shared/bucket/s3/settings.ts'
import { openKafkaLog } from '../services/shared/log/kafka/open.ts'
import { openLmdbLog } from '../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../services/shared/log/port.ts'
import { EVENTS_TOPIC } from '../services/shared/log/topics.ts'
import { S3_USER } from '../test/support/bucket-servers.ts'
import { HEAP_FLAGS } from './heap-flags.ts'

export const MIB = 1024 * 1024

/** What one process took for its turn. */
export interface Turn {
  readonly seconds: number
  /** Of all threads: compression and hashing too. */
  readonly cpuSeconds: number
  readonly rssMiB: number
}

/** `place`: a folder of the embedded log, or brokers. */
export const openLog = (place: string): Promise<EventLog> =>
  place.startsWith('/')
    ? openLmdbLog({ folder: place })
    : openKafkaLog({ brokers: place.split(','), clientId: 'bench', logger: { warn: () => undefined } })

const s3Of = (url: URL): S3Settings => ({
  bucket: url.pathname.slice(1),
  region: 'us-east-1',
  endpoint: url.origin,
  pathStyle: true,
  credentials: { kind: 'static', ...S3_USER, sessionToken: undefined },
  encryption: undefined,
  partBytes: 8 * MIB,
})

/** A folder, or the address of a bucket on an S3 server. */
export const openBucket = async (to: string): Promise<Bucket> =>
  to.startsWith('/') ? openFolderBucket(to) : openS3Bucket(s3Of(new URL(to)))

/** Resident memory without the pages of mapped files: the log's, which are the kernel's cache. */
function ownBytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8')
  const kib = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0)
  return (kib('RssAnon') + kib('RssShmem')) * 1024
}

/** Makes a bucket on an S3 server; gives its address, as `openBucket` takes it. */
export async function newS3Bucket(s3: string): Promise<string> {
  const name = `bench-${randomUUID()}`
  const client = createS3Client(s3Of(new URL(`${s3}/${name}`)))
  await client.send(new CreateBucketCommand({ Bucket: name }))
  client.destroy()
  return `${s3}/${name}`
}

/** Runs it, and says what it took of time, processor and memory. */
export async function measured(run: () => Promise<void>): Promise<Turn> {
  let rss = 0
  const look = setInterval(() => {
    rss = Math.max(rss, ownBytes())
  }, 20)
  const [startedMs, before] = [performance.now(), process.cpuUsage()]
  await run()
  const { user, system } = process.cpuUsage(before)
  clearInterval(look)
  const seconds = (performance.now() - startedMs) / 1_000
  return { seconds, cpuSeconds: (user + system) / 1e6, rssMiB: Math.round(rss / MIB) }
}

/** Reads every record and compresses it, by partition: what no archive could do without. */
export async function readAndCompress(log: EventLog, events: number): Promise<void> {
  const stop = new AbortController()
  let left = events
  const settings = { topic: EVENTS_TOPIC, group: `bench.${randomUUID()}`, signal: stop.signal }
  await log.consume({ ...settings, bufferBytesMax: 32 * MIB }, async (claim) => {
    const gzip = createGzip({ level: 1 })
    gzip.pipe(new Writable({ write: (_chunk, _encoding, done) => done() }))
    while (!claim.signal.aborted) {
      const records = await claim.read({ maxBytes: MIB, maxRecords: 10_000, waitMs: 1_000 })
      const pieces = records.flatMap(({ value }) => value ?? [])
      if (pieces.length > 0 && !gzip.write(Buffer.concat(pieces))) {
        await new Promise((resolve) => gzip.once('drain', resolve))
      }
      left -= records.length
      if (left <= 0) stop.abort()
    }
    await new Promise<void>((resolve) => gzip.end(resolve))
  })
}

/** Exports all that the log has. `folder` is the exporter's own. */
export async function exportToEnd(
  log: EventLog,
  bucket: Bucket,
  settings: ExporterSettings,
  folder: string,
): Promise<void> {
  const stop = new AbortController()
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const ends = await log.ends(EVENTS_TOPIC)
  const deps = { log, bucket, folder, registry: new Registry(), settings, logger, now: Date.now }
  const run = runExporter(deps, stop.signal)
  for (;;) {
    const committed = await log.committed(EVENTS_TOPIC, EXPORTER_GROUP)
    if (ends.every(({ partition, end }) => end === 0n || committed.get(partition)?.offset === end)) break
    await Promise.race([delay(20), run])
  }
  stop.abort()
  await run
}

/**
 * Seconds of processor that `kcat` and `gzip -1` take together for all that a topic has; undefined where kcat is not installed.
 */
export async function kcatAndGzipCpuSeconds(brokers: string, topic: string): Promise<number | undefined> {
  const run = promisify(execFile)
  const isThere = await run('kcat', ['-V']).then(
    () => true,
    () => false,
  )
  if (!isThere) return undefined
  // The shell counts what its children took.
  const pipe = `kcat -C -q -e -o beginning -b "$1" -t "$2" | gzip -1 > /dev/null; times`
  const { stdout } = await run('bash', ['-c', pipe, 'bash', brokers, topic])
  const children = [...(stdout.trim().split('\n').at(-1) ?? '').matchAll(/(\d+)m([\d.]+)s/g)]
  return children.reduce((sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds), 0)
}

/** Runs `script` with `args` in a process of its own, which prints its turn as JSON. */
export async function inProcess(script: string, args: readonly string[]): Promise<Turn> {
  const { stdout } = await promisify(execFile)(process.execPath, [...HEAP_FLAGS, script, ...args], {
    maxBuffer: 16 * MIB,
  })
  return JSON.parse(stdout) as Turn
}

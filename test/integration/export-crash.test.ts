import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { readWhole } from '../../services/shared/bucket/body.ts'
import { openFolderBucket } from '../../services/shared/bucket/folder/open.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { openBreakableTcp } from '../support/breakable-tcp.ts'
import { S3_USER } from '../support/bucket-servers.ts'
import { gcsBucketNamed, makeGcsBucket, makeS3Bucket, s3BucketNamed } from '../support/buckets.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { type Producer, startProducer } from '../support/producer.ts'
import { bucketServers, bucketsMissing, clickhouseUrl, kafkaBrokers, kafkaMissing } from '../support/servers.ts'
import { checkArchive } from './archive-check.ts'
import { held, midRange } from './export-progress.ts'

/** Rounds of kill -9 on Kafka and S3; the other places have a third of them. */
const ROUNDS = Number(process.env['TRIBUTARY_TEST_ROUNDS'] ?? 3)
/** More rounds at most, until a range was in the middle of its uploads when its process died. */
const MORE_ROUNDS = 5
/** Short, so that a dead exporter's partitions are soon another's. */
const SESSION_MS = 6_000
const PARTITIONS = 4
/** Each is an object of every range, so that a range is a while on its way. */
const COLLECTIONS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const never = new AbortController().signal

interface Place {
  readonly env: Readonly<Record<string, string>>
  readonly bucket: Bucket
  /** How many lines and how many ids a reader that is not ours finds in all of its objects. */
  readonly countElsewhere: (keys: ReadonlySet<string>) => Promise<{ lines: number; ids: number }>
}

const base = mkdtempSync(join(tmpdir(), 'tributary-export-crash-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const s3Env = (name: string, endpoint: string): Record<string, string> => ({
  TRIBUTARY_ARCHIVE: `s3://${name}`,
  TRIBUTARY_ARCHIVE_ENDPOINT: endpoint,
  TRIBUTARY_ARCHIVE_S3_PATH_STYLE: 'true',
  TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID: S3_USER.accessKeyId,
  TRIBUTARY_ARCHIVE_S3_SECRET_ACCESS_KEY: S3_USER.secretAccessKey,
})

async function inS3(endpoint = bucketServers().s3): Promise<Place> {
  const name = await makeS3Bucket()
  return {
    env: s3Env(name, endpoint),
    bucket: s3BucketNamed(name),
    async countElsewhere() {
      const { accessKeyId, secretAccessKey } = S3_USER
      const from = `s3('${bucketServers().s3}/${name}/events/**.jsonl.gz', '${accessKeyId}', '${secretAccessKey}', 'JSONEachRow', 'id String')`
      const response = await fetch(clickhouseUrl(), {
        method: 'POST',
        body: `SELECT toString(count()) AS lines, toString(uniqExact(id)) AS ids FROM ${from} FORMAT JSONEachRow`,
      })
      const answer = await response.text()
      if (!response.ok) throw new Error(answer)
      const { lines, ids } = JSON.parse(answer) as { lines: string; ids: string }
      return { lines: Number(lines), ids: Number(ids) }
    },
  }
}

/** The objects' bytes one after the other are a gzip file too. */
async function countByGzip(bucket: Bucket, keys: ReadonlySet<string>): Promise<{ lines: number; ids: number }> {
  const gzip = spawn('gzip', ['-dc'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const unpacked = text(gzip.stdout)
  for (const key of keys) gzip.stdin.write((await readWhole(bucket, key, never)) ?? Buffer.alloc(0))
  gzip.stdin.end()
  const lines = (await unpacked).split('\n').slice(0, -1)
  return { lines: lines.length, ids: new Set(lines.map((line) => (JSON.parse(line) as { id: string }).id)).size }
}

async function inGcs(): Promise<Place> {
  const name = await makeGcsBucket()
  const bucket = gcsBucketNamed(name)
  const env = { TRIBUTARY_ARCHIVE: `gs://${name}`, TRIBUTARY_ARCHIVE_ENDPOINT: bucketServers().gcs }
  return { env, bucket, countElsewhere: (keys) => countByGzip(bucket, keys) }
}

async function inFolder(): Promise<Place> {
  const folder = mkdtempSync(join(base, 'archive-'))
  const bucket = await openFolderBucket(folder)
  return { env: { TRIBUTARY_ARCHIVE: folder }, bucket, countElsewhere: (keys) => countByGzip(bucket, keys) }
}

interface Load {
  readonly deployment: DeploymentUnderTest
  ingest: ServiceProcess
  readonly producers: readonly { readonly collection: string; readonly producer: Producer }[]
}

async function underLoad(env: Readonly<Record<string, string>>, onKafka: boolean): Promise<Load> {
  const deployment = await openDeployment({
    brokers: onKafka ? kafkaBrokers() : undefined,
    clickhouseUrl: clickhouseUrl(),
    env: {
      TRIBUTARY_LOG_SESSION_MS: String(SESSION_MS),
      TRIBUTARY_EVENT_PARTITIONS: String(PARTITIONS),
      TRIBUTARY_ARCHIVE_RANGE_BYTES: '65536',
      TRIBUTARY_ARCHIVE_RANGE_AGE_S: '1',
      TRIBUTARY_ARCHIVE_UPLOADS: '1',
      ...env,
    },
  })
  const admin = await deployment.start('admin')
  const project = await deployment.project(admin.url)
  const load: { ingest: ServiceProcess } = { ingest: await deployment.start('ingest') }
  const options = { project: project.id, key: project.write, batch: 15, lanes: 1, pauseMs: 100 }
  const producers = COLLECTIONS.map((collection) => ({
    collection,
    producer: startProducer({ ...options, urls: () => [load.ingest.url], collection }),
  }))
  return Object.assign(load, { deployment, producers })
}

/** Ends the load; waits until all that was acknowledged is in the archive, and nothing else is. */
async function settle(
  { producers }: Load,
  place: Place,
  exporters: readonly ServiceProcess[],
): Promise<{ events: number; manifests: number }> {
  for (const { producer } of producers) await producer.finish()
  const owed = producers
    .flatMap(({ collection, producer }) => [...producer.acknowledged].map((n) => `${collection}/${n}`))
    .toSorted()
  await eventually('the exporters have written all that is in the log', async () => {
    const all = await Promise.all(exporters.map((exporter) => exporter.metrics()))
    const lags = all.flatMap((one) => [...one].filter(([name]) => name.startsWith('exporter_lag_events{')))
    return lags.length === PARTITIONS && lags.every(([, lag]) => lag === 0)
  })
  const { events, ids, keys, manifests } = await checkArchive(place.bucket, never)
  expect(events).toEqual(owed)
  expect(await place.countElsewhere(keys)).toEqual({ lines: owed.length, ids: ids.size })
  return { events: owed.length, manifests }
}

/** Sums of the counters of all exporters there were; those of one that is killed are as of shortly before. */
class Counts {
  replays = 0
  matched = 0
  kills = 0

  add(metrics: ReadonlyMap<string, number>): void {
    this.replays += metrics.get('exporter_ranges_total{sealed_by="replay"}') ?? 0
    this.matched += metrics.get('exporter_objects_total{outcome="matched"}') ?? 0
  }
}

const places = [
  { where: 'S3 behind Kafka', open: () => inS3(), onKafka: true, freezes: true, rounds: ROUNDS },
  { where: 'GCS behind Kafka', open: () => inGcs(), onKafka: true, freezes: false, rounds: Math.ceil(ROUNDS / 3) },
  {
    where: 'a folder beside the embedded log',
    open: inFolder,
    onKafka: false,
    freezes: true,
    rounds: Math.ceil(ROUNDS / 3),
  },
]

describe.for(places)('in $where', ({ where, open, onKafka, freezes, rounds }) => {
  const missing = onKafka ? (kafkaMissing() ?? bucketsMissing()) : undefined
  test.skipIf(missing !== undefined)(
    'exporters killed in the middle of a range, or frozen past their session, write every event once',
    { timeout: 120_000 + 60_000 * rounds },
    async () => {
      const place = await open()
      const load = await underLoad(place.env, onKafka)
      const { deployment } = load
      try {
        // Two machines, where the log lets them be two.
        const machine = (at: number): Record<string, string> =>
          onKafka ? { TRIBUTARY_DATA_DIR: join(base, where, String(at)) } : {}
        const exporters = await Promise.all([0, 1].map((at) => deployment.start('exporter', machine(at))))
        const counts = new Counts()
        const isEnough = (round: number): boolean =>
          round >= rounds + MORE_ROUNDS || (round >= rounds && counts.replays > 0 && counts.matched > 0)
        for (let round = 0; !isEnough(round); round += 1) {
          const at = round % 2
          const exporter = exporters[at]
          if (exporter === undefined) throw new Error('unreachable')
          await eventually('the exporter to be killed holds a partition', async () => (await held(exporter)) > 0)
          await delay((round * 373) % 700)
          const before = await midRange(exporter)
          await exporter.kill()
          counts.kills += 1
          counts.add(before)
          // Events whose acknowledgement is lost are sent again, and are repeats.
          if (round === 0) {
            await load.ingest.kill()
            load.ingest = await deployment.restart(load.ingest)
          }
          exporters[at] = await deployment.restart(exporter, machine(at))
          if (round + 1 >= rounds) {
            await eventually('all partitions are held', async () => {
              const numbers = await Promise.all(exporters.map(held))
              return numbers.reduce((sum, number) => sum + number, 0) === PARTITIONS
            })
            await delay(1_000)
            const late = new Counts()
            for (const one of exporters) late.add(await one.metrics())
            if (counts.replays + late.replays > 0 && counts.matched + late.matched > 0) break
          }
        }

        const [frozen, other] = exporters
        if (frozen === undefined || other === undefined) throw new Error('unreachable')
        for (let attempt = 0; ; attempt += 1) {
          if (!freezes) break
          await midRange(frozen)
          frozen.signal('SIGSTOP')
          const taken = await eventually(
            'the other has all',
            async () => (await held(other)) === PARTITIONS,
            4 * SESSION_MS,
          )
            .then(() => true)
            .catch(() => false)
          if (taken) break
          // Stopped in the middle of a write to the embedded log, it holds the log's own lock.
          expect(attempt).toBeLessThan(5)
          frozen.signal('SIGCONT')
          await delay(500 + attempt * 137)
        }
        if (freezes) await delay(1_500)
        frozen.signal('SIGCONT')
        if (freezes) await delay(1_500)

        const { events, manifests } = await settle(load, place, exporters)
        for (const exporter of exporters) counts.add(await exporter.metrics())
        for (const exporter of exporters) expect(await exporter.stop()).toBe(0)
        process.stdout.write(
          `export crash test in ${where}: ${counts.kills} kills, ${counts.replays} ranges replayed, ` +
            `${counts.matched} objects found written, ${manifests} ranges, ${events} events\n`,
        )
        expect(Math.min(counts.kills, counts.replays, counts.matched)).toBeGreaterThan(0)
        expect(counts.kills).toBeGreaterThanOrEqual(rounds)
      } finally {
        for (const { producer } of load.producers) void producer.finish()
        await deployment.close()
        await place.bucket.close()
      }
    },
  )
})

test.skipIf(bucketsMissing() !== undefined)(
  'while the bucket is away the exporter waits, says so, and goes on where it was',
  { timeout: 120_000 },
  async () => {
    const front = await openBreakableTcp(bucketServers().s3)
    const place = await inS3(front.url)
    const load = await underLoad(place.env, false)
    try {
      const exporter = await load.deployment.start('exporter')
      const metric = async (name: string): Promise<number> => (await exporter.metrics()).get(name) ?? 0
      await eventually('the exporter is at work', async () => (await metric('exporter_events_exported_total')) > 0)
      await front.cut()
      await eventually('it says that it tries again', async () => {
        return (await metric('exporter_retries_total{code="BUCKET_UNAVAILABLE"}')) > 0
      })
      const exported = await metric('exporter_events_exported_total')
      await delay(4_000)
      expect(await metric('exporter_events_exported_total')).toBe(exported)
      expect(await metric('exporter_lag_events')).toBeGreaterThan(0)
      // It has its log, and nobody else could do better: taking it out of service would help nothing.
      expect((await fetch(`${exporter.url}/readyz`)).status).toBe(200)
      await front.mend()
      await settle(load, place, [exporter])
      expect(await metric('exporter_objects_total{outcome="mismatched"}')).toBe(0)
      expect(await exporter.stop()).toBe(0)
    } finally {
      for (const { producer } of load.producers) void producer.finish()
      await load.deployment.close()
      await front.close()
      await place.bucket.close()
    }
  },
)

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { fileStem } from '../../services/exporter/domain/delivery.ts'
import {
  EVENTS_PREFIX,
  manifestKey,
  MANIFESTS_PREFIX,
  parseObjectKey,
} from '../../services/exporter/domain/archive-key.ts'
import { readWhole } from '../../services/shared/bucket/body.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { prefixedBucket } from '../../services/shared/bucket/prefixed.ts'
import { type BreakableTcp, openBreakableTcp } from '../support/breakable-tcp.ts'
import { startBucketProxy } from '../support/bucket-proxy.ts'
import { gcsBucketNamed, makeGcsBucket, makeS3Bucket, s3BucketNamed } from '../support/buckets.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { startProducer } from '../support/producer.ts'
import { bucketServers, bucketsMissing, kafkaMissing } from '../support/servers.ts'
import { checkArchive } from './archive-check.ts'
import { deliveredEvents, openDelivering, toGcs, toS3 } from './delivering.ts'
import { checkDelivered, type Decided, decidedDeliveries, expectSameAgain, sha256 } from './delivery-check.ts'
import { held, midRange } from './export-progress.ts'

/** Of kill -9, on deliveries and exporters by turns. */
const ROUNDS = Number(process.env['TRIBUTARY_TEST_ROUNDS'] ?? 2)
/** More at most, until something was taken up again after its process had died. */
const MORE_ROUNDS = 6
/** Of each of the two bucket servers. */
const OUTAGE_MS = Number(process.env['TRIBUTARY_TEST_OUTAGE_MS'] ?? 3_000)
const PARTITIONS = 4
const COLLECTIONS = ['a', 'b', 'c', 'd', 'e', 'f']
const ROOT = 'out/'
const STREAMS = ['lines', 'columns'] as const
const MAIN = join(import.meta.dirname, '../../services/main.ts')
const PATIENCE_MS = 180_000
const signal = new AbortController().signal
const missing = kafkaMissing() ?? bucketsMissing()

const base = mkdtempSync(join(tmpdir(), 'tributary-delivery-crash-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

/** Counters of all processes there were; those of one that is killed are as of shortly before. */
class Counts {
  kills = { exporter: 0, deliveries: 0 }
  /** Deliveries whose process was killed after it had decided on them and before it was done. */
  brokenOff = 0
  rangesReplayed = 0
  objectsMatched = 0
  resumed = 0
  filesMatched = 0
  mismatched = 0

  add(metrics: ReadonlyMap<string, number>): void {
    const of = (name: string): number => metrics.get(name) ?? 0
    this.rangesReplayed += of('exporter_ranges_total{sealed_by="replay"}')
    this.objectsMatched += of('exporter_objects_total{outcome="matched"}')
    this.resumed += of('deliveries_resumed_total')
    this.filesMatched += of('deliveries_files_total{outcome="matched"}')
    this.mismatched +=
      of('exporter_objects_total{outcome="mismatched"}') + of('deliveries_files_total{outcome="mismatched"}')
  }

  get isEnough(): boolean {
    const { brokenOff, rangesReplayed, objectsMatched, resumed, filesMatched } = this
    return Math.min(brokenOff, rangesReplayed, objectsMatched, resumed, filesMatched) > 0
  }
}

/** What a bucket held when a process died, to be compared with what it holds in the end. */
class Snapshots {
  readonly #hashes: { bucket: Bucket; key: string; hash: string }[] = []

  async take(bucket: Bucket, prefix: string, isMeant: (key: string) => boolean): Promise<void> {
    for await (const { key } of bucket.list(prefix, { signal })) {
      if (isMeant(key)) this.#hashes.push({ bucket, key, hash: await hashOf(bucket, key) })
    }
  }

  async expectUnchanged(): Promise<number> {
    for (const { bucket, key, hash } of this.#hashes) expect(await hashOf(bucket, key), key).toBe(hash)
    return this.#hashes.length
  }
}

const hashOf = async (bucket: Bucket, key: string): Promise<string> =>
  sha256((await readWhole(bucket, key, signal)) ?? Buffer.alloc(0))

test.skipIf(missing !== undefined)(
  'exporters and deliveries that are killed, frozen or without their buckets deliver every event once, in the same files',
  { timeout: 300_000 + 60_000 * ROUNDS + 4 * OUTAGE_MS },
  async () => {
    const names = { archive: await makeS3Bucket(), lines: await makeS3Bucket(), columns: await makeGcsBucket() }
    const archive = s3BucketNamed(names.archive)
    const targets = { lines: s3BucketNamed(names.lines), columns: gcsBucketNamed(names.columns) }
    // An object takes a while, so that ranges and deliveries are often under way; and both servers can be away.
    const proxies = await Promise.all([bucketServers().s3, bucketServers().gcs].map((url) => startBucketProxy(url)))
    for (const proxy of proxies) {
      proxy.on({ step: 'put', fault: 'slow', keys: (key) => key.startsWith(ROOT) || key.startsWith(EVENTS_PREFIX) })
    }
    const fronts = await Promise.all(proxies.map(({ url }) => openBreakableTcp(url)))
    const [s3, gcs] = fronts
    if (s3 === undefined || gcs === undefined) throw new Error('unreachable')
    const { deployment, project, define, stateOf } = await openDelivering({
      archive: { bucket: names.archive, endpoint: s3.url },
      endpoints: [s3.url, gcs.url],
      env: { TRIBUTARY_ARCHIVE_RANGE_AGE_S: '1', TRIBUTARY_ARCHIVE_UPLOADS: '1' },
    })
    const look = async (name: string): Promise<void> =>
      define(name, {
        destination: name === 'lines' ? toS3(names.lines, s3.url) : toGcs(names.columns, gcs.url),
        format: name === 'lines' ? 'jsonl.gz' : 'parquet',
        cadence_minutes: 1,
        target_bytes: 1_048_576,
        prefix: `${ROOT}{collection}/{year}-{month}-{day}/`,
      })
    // What arrives before a stream is there is none of its business.
    for (const name of STREAMS) await look(name)
    const ingest = await deployment.start('ingest')
    const producers = COLLECTIONS.map((collection) => {
      const options = { project: project.id, key: project.write, batch: 12, lanes: 1, pauseMs: 100 }
      return { collection, producer: startProducer({ ...options, urls: () => [ingest.url], collection }) }
    })
    const counts = new Counts()
    const snapshots = new Snapshots()
    try {
      // Each on a machine of its own.
      const machine = (at: number) => ({ TRIBUTARY_DATA_DIR: join(base, String(at)) })
      const exporters = await Promise.all([0, 1].map((at) => deployment.start('exporter', machine(at))))
      const deliverers = await Promise.all([2, 3].map((at) => deployment.start('deliveries', machine(at))))
      const restart = async (services: ServiceProcess[], dead: ServiceProcess, first: number): Promise<void> => {
        const at = services.indexOf(dead)
        services[at] = await deployment.restart(dead, machine(first + at))
      }

      const unfinished = async (): Promise<Decided[]> =>
        (await decidedDeliveries(archive, project.id, signal)).filter(({ isDone }) => !isDone)
      const ownerOf = async (name: string): Promise<ServiceProcess | undefined> => {
        const series = `deliveries_lag_seconds{project="${project.id}",stream="${name}"}`
        const all = await Promise.all(deliverers.map((one) => one.metrics()))
        return deliverers.find((_, at) => all[at]?.has(series))
      }
      /** A delivery of the stream that was decided on and is not done, and the process that is at it. */
      const midDelivery = async (name: string): Promise<{ delivery: Decided; owner: ServiceProcess }> => {
        await eventually('somebody has the stream', async () => ownerOf(name))
        await look(name)
        return eventually('a delivery is under way', async () => {
          const delivery = (await unfinished()).find(({ course }) => course.stream === name)
          const owner = delivery && (await ownerOf(name))
          return delivery && owner && { delivery, owner }
        })
      }
      const isSame = (one: Decided, other: Decided): boolean =>
        fileStem(one.course, one.sequence) === fileStem(other.course, other.sequence)

      const breakDelivery = async (round: number): Promise<void> => {
        const name = STREAMS[(round >> 1) % 2] ?? 'lines'
        const { delivery, owner } = await midDelivery(name)
        await delay(150 + ((round * 173) % 700))
        counts.add(await owner.metrics())
        await owner.kill()
        counts.kills.deliveries += 1
        if ((await unfinished()).some((one) => isSame(one, delivery))) {
          counts.brokenOff += 1
          const stem = fileStem(delivery.course, delivery.sequence)
          await snapshots.take(targets[name], ROOT, (key) => key.includes(stem))
        }
        await restart(deliverers, owner, 2)
      }
      const breakRange = async (round: number): Promise<void> => {
        const exporter = exporters[(round >> 1) % 2]
        if (exporter === undefined) throw new Error('unreachable')
        await eventually('the exporter to be killed holds a partition', async () => (await held(exporter)) > 0)
        const before = await midRange(exporter)
        await delay(150 + ((round * 97) % 300))
        counts.add(before)
        await exporter.kill()
        counts.kills.exporter += 1
        const manifests = new Set<string>()
        for await (const { key } of archive.list(MANIFESTS_PREFIX, { signal })) manifests.add(key)
        await snapshots.take(archive, EVENTS_PREFIX, (key) => {
          const range = parseObjectKey(key)
          return range !== undefined && !manifests.has(manifestKey(range))
        })
        await restart(exporters, exporter, 0)
      }
      const total = async (): Promise<Counts> => {
        const all = Object.assign(new Counts(), counts)
        for (const one of [...exporters, ...deliverers]) all.add(await one.metrics())
        return all
      }
      const kill = async (round: number): Promise<void> => (round % 2 === 0 ? breakDelivery(round) : breakRange(round))
      for (let round = 0; round < ROUNDS; round += 1) await kill(round)

      /** Without the server nothing comes through, and what fails says so; with it again all goes on. */
      const outage = async (server: BreakableTcp, name: (typeof STREAMS)[number]): Promise<void> => {
        await eventually('somebody has the stream', async () => ownerOf(name))
        await server.cut()
        await look(name)
        await delay(OUTAGE_MS)
        await eventually('it says so', async () => (await stateOf(name))['reason'] === 'unavailable')
        await server.mend()
        await eventually('it goes on', async () => (await stateOf(name))['state'] === 'running', PATIENCE_MS)
      }
      await outage(s3, 'lines')
      await outage(gcs, 'columns')

      const { delivery, owner } = await midDelivery('lines')
      owner.signal('SIGSTOP')
      const [exporter, otherExporter] = exporters
      const other = deliverers.find((one) => one !== owner)
      if (exporter === undefined || otherExporter === undefined || other === undefined) throw new Error('unreachable')
      await midRange(exporter)
      exporter.signal('SIGSTOP')
      await eventually('the others have all that the frozen ones had', async () => {
        const active = (await other.metrics()).get('deliveries_streams{state="active"}')
        const isDone = !(await unfinished()).some((one) => isSame(one, delivery))
        return active === STREAMS.length && isDone && (await held(otherExporter)) === PARTITIONS
      })
      owner.signal('SIGCONT')
      exporter.signal('SIGCONT')
      await delay(2_000)
      for (let round = ROUNDS; round < ROUNDS + MORE_ROUNDS && !(await total()).isEnough; round += 1) await kill(round)

      for (const { producer } of producers) await producer.finish()
      const owed = producers
        .flatMap(({ collection, producer }) => [...producer.acknowledged].map((n) => `${collection}/${n}`))
        .toSorted()
      await eventually('the exporters have written all that is in the log', async () => {
        const all = await Promise.all(exporters.map((one) => one.metrics()))
        const lags = all.flatMap((one) => [...one].filter(([name]) => name.startsWith('exporter_lag_events{')))
        return lags.length === PARTITIONS && lags.every(([, lag]) => lag === 0)
      })
      const archived = await checkArchive(archive, signal)
      expect(archived.events).toEqual(owed)
      for (const name of STREAMS) {
        await look(name)
        const seen = new Map<string, number>()
        await eventually(
          `all of it is in ${name}`,
          async () => (await deliveredEvents(prefixedBucket(targets[name], ROOT), seen, signal)) === owed.length,
          PATIENCE_MS,
        )
      }
      await eventually('no delivery is open', async () => (await unfinished()).length === 0)
      const all = await total()
      for (const one of [...exporters, ...deliverers]) expect(await one.stop()).toBe(0)

      const decided = await decidedDeliveries(archive, project.id, signal)
      let files = 0
      for (const name of STREAMS) {
        const delivered = await checkDelivered(targets[name], ROOT, signal)
        expect(delivered.events, name).toEqual(owed)
        files += delivered.files
        const mine = decided.filter(({ course }) => course.stream === name)
        const folder = join(base, `again-${name}`)
        mkdirSync(folder)
        await expectSameAgain(archive, mine, targets[name], folder, signal)
      }
      const unchanged = await snapshots.expectUnchanged()
      // It ends with another code than 0, and this rejects, when anything is wrong with the archive.
      await promisify(execFile)(process.execPath, [MAIN, 'audit', '--no-warehouse', '--json'], {
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...deployment.env },
        maxBuffer: 1 << 26,
      })
      process.stdout.write(
        `delivery crash test: ${all.kills.deliveries} kills of deliveries and ${all.kills.exporter} of exporters, ` +
          `${all.brokenOff} deliveries broken off, ${all.resumed} taken up again, ${all.filesMatched} files found written; ` +
          `${all.rangesReplayed} ranges replayed, ${all.objectsMatched} objects found written; ${unchanged} objects of ` +
          `dead processes unchanged; ${owed.length} events, ${archived.manifests} ranges, ${decided.length} deliveries, ${files} files\n`,
      )
      expect(all.isEnough, JSON.stringify(all)).toBe(true)
      expect(all.kills.deliveries + all.kills.exporter).toBeGreaterThanOrEqual(ROUNDS)
      expect(all.mismatched).toBe(0)
    } finally {
      for (const { producer } of producers) void producer.finish()
      await deployment.close()
      for (const front of fronts) await front.close()
      for (const proxy of proxies) await proxy.stop()
      for (const bucket of [archive, ...Object.values(targets)]) await bucket.close()
    }
  },
)

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { flightsFile, readFlights } from '../../services/commands/demo/flights.ts'
import { readWhole } from '../../services/shared/bucket/body.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { Turns } from '../../services/shared/registry/turns.ts'
import { call, type ProjectKeys } from '../support/api.ts'
import { S3_USER } from '../support/bucket-servers.ts'
import { gcsBucketNamed, makeGcsBucket, makeS3Bucket, s3BucketNamed } from '../support/buckets.ts'
import { rowsOf } from '../support/delivered-rows.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, type ServiceProcess } from '../support/processes.ts'
import { bucketServers, bucketsMissing, clickhouseUrl, kafkaBrokers, kafkaMissing } from '../support/servers.ts'
import { SERVICE_ACCOUNT } from '../support/stream-bodies.ts'

const missing = kafkaMissing() ?? bucketsMissing()
const MAIN = join(import.meta.dirname, '../../services/main.ts')
/** A million is for a run by hand. */
const EVENTS = Number(process.env['TRIBUTARY_TEST_EVENTS'] ?? 20_000)
const COLLECTIONS = 20
const BATCH = 2_000
const LANES = 4
const signal = new AbortController().signal
/** Of the streams, the shortest that there is, and the time to carry a delivery out. */
const CADENCE_MS = 60_000
const PATIENCE_MS = 2 * CADENCE_MS + 60_000 + EVENTS / 2

interface Sent {
  readonly number: number
  readonly delay: number
  readonly origin: string
}
const collectionOf = (number: number): string => `flights_${number % COLLECTIONS}`

describe.skipIf(missing !== undefined)(`streams on real servers${missing === undefined ? '' : `: ${missing}`}`, () => {
  let deployment: DeploymentUnderTest
  let admin: ServiceProcess
  let ingest: ServiceProcess
  let project: ProjectKeys
  const stops: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    const archive = await makeS3Bucket()
    const hosts = [bucketServers().s3, bucketServers().gcs].map((url) => new URL(url).host)
    deployment = await openDeployment({
      brokers: kafkaBrokers(),
      clickhouseUrl: clickhouseUrl(),
      env: {
        TRIBUTARY_EVENT_PARTITIONS: '4',
        TRIBUTARY_LOG_SESSION_MS: '6000',
        TRIBUTARY_ARCHIVE: `s3://${archive}/raw`,
        TRIBUTARY_ARCHIVE_ENDPOINT: bucketServers().s3,
        TRIBUTARY_ARCHIVE_S3_PATH_STYLE: 'true',
        TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID: S3_USER.accessKeyId,
        TRIBUTARY_ARCHIVE_S3_SECRET_ACCESS_KEY: S3_USER.secretAccessKey,
        TRIBUTARY_ARCHIVE_RANGE_AGE_S: '2',
        TRIBUTARY_STREAM_ENDPOINTS: hosts.join(),
      },
    })
    stops.push(() => deployment.close())
    admin = await deployment.start('admin')
    ingest = await deployment.start('ingest')
    project = await deployment.project(admin.url)
  })
  afterAll(async () => {
    for (const stop of stops.toReversed()) await stop()
  })

  const streams = (path: string): string => `${admin.url}/3.0/projects/${project.id}/streams/${path}`
  const define = async (name: string, destination: object, format: string): Promise<void> => {
    const body = { destination, format, cadence_minutes: 1, prefix: '{collection}/{year}-{month}-{day}/' }
    const answer = await call('PUT', streams(name), { key: project.master, body })
    expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 201 })
  }
  const stateOf = async (name: string): Promise<Record<string, unknown>> => {
    const { body } = await call('GET', streams(name), { key: project.master })
    return (body as { state?: Record<string, unknown> }).state ?? {}
  }
  /** What the streams' own manifests say was delivered. */
  const delivered = async (bucket: Bucket): Promise<number> => {
    let events = 0
    for await (const { key } of bucket.list('_manifests/', { signal })) {
      const text = String(await readWhole(bucket, key, signal))
      events += (JSON.parse(text) as { events: number }).events
    }
    return events
  }

  test(
    'every acknowledged event is in both buckets once, through kills, and the archive proves itself',
    async () => {
      const [s3, gcs] = [await makeS3Bucket(), await makeGcsBucket()]
      const user = { kind: 'static', access_key_id: S3_USER.accessKeyId, secret_access_key: S3_USER.secretAccessKey }
      const place = { bucket: s3, region: 'us-east-1', endpoint: bucketServers().s3, path_style: true }
      await define('lines', { kind: 's3', ...place, credentials: user }, 'jsonl.gz')
      await define(
        'columns',
        { kind: 'gcs', bucket: gcs, endpoint: bucketServers().gcs, credentials: SERVICE_ACCOUNT },
        'parquet',
      )
      let exporters = await Promise.all([deployment.start('exporter'), deployment.start('exporter')])
      let deliverers = await Promise.all([deployment.start('deliveries'), deployment.start('deliveries')])

      const sent = new Map<number, Sent>()
      const half = EVENTS / 2
      const source = readFlights(flightsFile(), { step: 1, max: EVENTS })
      await sendAll(source, half, sent)
      const [exporter, deliverer] = [exporters[0], deliverers[0]]
      await Promise.all([exporter.kill(), deliverer.kill()])
      exporters = [await deployment.restart(exporter), exporters[1]]
      deliverers = [await deployment.restart(deliverer), deliverers[1]]
      await sendAll(source, EVENTS, sent)
      expect(sent.size).toBe(EVENTS)

      const targets = { lines: s3BucketNamed(s3), columns: gcsBucketNamed(gcs) }
      for (const [name, bucket] of Object.entries(targets)) {
        await eventually(`all of it is in ${name}`, async () => (await delivered(bucket)) === EVENTS, PATIENCE_MS)
        expect(await stateOf(name)).toMatchObject({ state: 'running', reason: null })
      }
      for (const bucket of [targets.lines, targets.columns]) {
        const found = await numbersIn(bucket, sent)
        expect(found.length, bucket.description).toBe(EVENTS)
        expect(new Set(found).size).toBe(EVENTS)
      }
      for (const process of [...exporters, ...deliverers]) expect(await process.stop()).toBe(0)
      const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'audit', '--no-warehouse', '--json'], {
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...deployment.env },
        maxBuffer: 1 << 26,
      })
      expect(stdout).toContain('"events"')
      await Promise.all([targets.lines, targets.columns].map(async (bucket) => bucket.close()))
    },
    600_000 + 2 * EVENTS,
  )

  /** Sends flights until `until` of them were acknowledged, each batch again until it is. */
  async function sendAll(
    source: AsyncGenerator<{ number: number; flight: { delay: number; origin: string; date: Date } }>,
    until: number,
    sent: Map<number, Sent>,
  ): Promise<void> {
    const next = async (): Promise<Sent[]> => {
      const batch: Sent[] = []
      while (batch.length < BATCH && taken < until) {
        const { value, done } = await source.next()
        if (done === true) break
        taken += 1
        batch.push({ number: value.number, delay: value.flight.delay, origin: value.flight.origin })
      }
      return batch
    }
    let taken = sent.size
    const turns = new Turns()
    const lane = async (): Promise<void> => {
      for (;;) {
        const batch = await turns.take('source', next)
        if (batch.length === 0) return
        const body: Record<string, unknown[]> = {}
        for (const one of batch) {
          const collection = collectionOf(one.number)
          body[collection] ??= []
          body[collection].push({ ...one, keen: { uniqueness_token: String(one.number) } })
        }
        const bytes = gzipSync(JSON.stringify(body), { level: 1 })
        await eventually('a batch is acknowledged', async () => {
          const response = await fetch(`${ingest.url}/3.0/projects/${project.id}/events`, {
            method: 'POST',
            headers: { authorization: project.write, 'content-type': 'application/json', 'content-encoding': 'gzip' },
            body: bytes,
          })
          await response.arrayBuffer()
          return response.status === 200
        })
        for (const one of batch) sent.set(one.number, one)
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
  }
})

/** Numbers of the flights in a bucket's files, each compared with what was sent, by other people's readers. */
async function numbersIn(bucket: Bucket, sent: ReadonlyMap<number, Sent>): Promise<number[]> {
  const numbers: number[] = []
  for await (const { key } of bucket.list('', { signal })) {
    if (key.startsWith('_manifests/')) continue
    const bytes = (await readWhole(bucket, key, signal)) ?? Buffer.alloc(0)
    for (const { number, delay, origin } of await rowsOf(key, bytes)) {
      expect({ number: Number(number), delay: Number(delay), origin }).toEqual(sent.get(Number(number)))
      expect(key.startsWith(`${collectionOf(Number(number))}/`)).toBe(true)
      numbers.push(Number(number))
    }
  }
  return numbers
}

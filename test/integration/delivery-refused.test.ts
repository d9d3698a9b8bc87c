import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { prefixedBucket } from '../../services/shared/bucket/prefixed.ts'
import { startBucketProxy } from '../support/bucket-proxy.ts'
import { gcsBucketNamed, makeGcsBucket, makeS3Bucket, s3BucketNamed } from '../support/buckets.ts'
import { eventually } from '../support/processes.ts'
import { startProducer } from '../support/producer.ts'
import { bucketServers, bucketsMissing, kafkaMissing } from '../support/servers.ts'
import { deliveredEvents, openDelivering, toGcs, toS3 } from './delivering.ts'
import { checkDelivered } from './delivery-check.ts'

/** After the refused stream has said so; ten minutes are for a run by hand. */
const REFUSED_MS = Number(process.env['TRIBUTARY_TEST_REFUSED_MS'] ?? 5_000)
/** The shortest that there is. */
const CADENCE_MS = 60_000
const RANGE_AGE_S = 2
/** From an event's acknowledgement to its file: until its range is closed, until the next delivery, and to carry that out. */
const LAG_MAX_MS = RANGE_AGE_S * 1_000 + CADENCE_MS + 20_000
/** Between tries, at most. */
const RETRY_MAX_MS = 60_000
const SAMPLE_MS = 1_000
const CLOCK_MS = 250
/** After the bucket lets it in again: until it is tried, and a delivery of all that waited. */
const CATCH_UP_MAX_MS = RETRY_MAX_MS + 30_000
const ROOT = 'out/'
const HEALTHY = ['lines', 'columns'] as const
const signal = new AbortController().signal
const missing = kafkaMissing() ?? bucketsMissing()

test.skipIf(missing !== undefined)(
  'a stream that is refused says so within a cadence, holds up no other of its process, and catches up',
  { timeout: 300_000 + REFUSED_MS },
  async () => {
    const names = { lines: await makeS3Bucket(), columns: await makeGcsBucket(), refused: await makeS3Bucket() }
    const proxy = await startBucketProxy(bucketServers().s3)
    const { s3, gcs } = bucketServers()
    const { deployment, project, define, stateOf } = await openDelivering({
      archive: { bucket: await makeS3Bucket(), endpoint: s3 },
      endpoints: [s3, gcs, proxy.url],
      env: { TRIBUTARY_ARCHIVE_RANGE_AGE_S: String(RANGE_AGE_S) },
    })
    const streams = {
      lines: { destination: toS3(names.lines), format: 'jsonl.gz' },
      columns: { destination: toGcs(names.columns), format: 'parquet' },
      refused: { destination: toS3(names.refused, proxy.url), format: 'jsonl.zst' },
    }
    const look = async (name: keyof typeof streams): Promise<void> =>
      define(name, { ...streams[name], cadence_minutes: 1, prefix: `${ROOT}{collection}/` })
    const buckets = {
      lines: s3BucketNamed(names.lines),
      columns: gcsBucketNamed(names.columns),
      refused: s3BucketNamed(names.refused),
    }
    for (const name of ['refused', ...HEALTHY] as const) await look(name)
    const ingest = await deployment.start('ingest')
    const producers = ['a', 'b'].map((collection) => {
      const options = { project: project.id, key: project.write, batch: 20, lanes: 1, pauseMs: 200 }
      return { collection, producer: startProducer({ ...options, urls: () => [ingest.url], collection }) }
    })
    const acknowledged = (): number => producers.reduce((sum, { producer }) => sum + producer.acknowledged.size, 0)
    const seen = new Map(Object.values(buckets).map((bucket) => [bucket, new Map<string, number>()]))
    /** How many events were acknowledged by when. */
    const timeline: { readonly atMs: number; readonly events: number }[] = []
    const clock = setInterval(() => timeline.push({ atMs: performance.now(), events: acknowledged() }), CLOCK_MS)
    const delivered = async (bucket: Bucket): Promise<number> =>
      deliveredEvents(prefixedBucket(bucket, ROOT), seen.get(bucket) ?? new Map(), signal)
    try {
      const exporter = await deployment.start('exporter')
      await eventually('something is in the archive', async () => {
        return ((await exporter.metrics()).get('exporter_events_exported_total') ?? 0) > 0
      })
      const deliveries = await deployment.start('deliveries')
      for (const [name, bucket] of Object.entries(buckets)) {
        await eventually(`${name} is delivered`, async () => (await delivered(bucket)) > 0)
      }

      for (const step of ['put', 'create', 'head'] as const) proxy.on({ step, fault: 'forbidden' })
      const refusedAt = performance.now()
      const worst = { lines: 0, columns: 0, told: 0, gauge: 0 }
      const gaugeOf = (metrics: ReadonlyMap<string, number>, name: string): number =>
        metrics.get(`deliveries_lag_seconds{project="${project.id}",stream="${name}"}`) ?? Number.NaN
      const sample = async (): Promise<void> => {
        const metrics = await deliveries.metrics()
        for (const name of HEALTHY) {
          const there = await delivered(buckets[name])
          // The first one that is not there was acknowledged by then at the latest.
          const oldest = timeline.find(({ events }) => events > there)
          worst[name] = Math.max(worst[name], oldest === undefined ? 0 : performance.now() - oldest.atMs)
          const state = await stateOf(name)
          expect(state).toMatchObject({ state: 'running', reason: null })
          worst.told = Math.max(worst.told, Number(state['lag_seconds']) * 1_000)
          worst.gauge = Math.max(worst.gauge, gaugeOf(metrics, name) * 1_000)
        }
      }
      let blockedMs: number | undefined
      while (performance.now() < refusedAt + (blockedMs ?? Infinity) + REFUSED_MS) {
        await sample()
        const { state, reason } = await stateOf('refused')
        if (blockedMs === undefined && state === 'blocked' && reason === 'forbidden') {
          blockedMs = performance.now() - refusedAt
        }
        if (blockedMs === undefined) expect(performance.now() - refusedAt).toBeLessThan(CADENCE_MS + 15_000)
        else expect({ state, reason }).toEqual({ state: 'blocked', reason: 'forbidden' })
        await delay(SAMPLE_MS)
      }
      const during = await deliveries.metrics()
      const told = Number((await stateOf('refused'))['lag_seconds'])
      const refusedMs = performance.now() - refusedAt
      const owedThen = acknowledged()
      proxy.off()
      const liftedAt = performance.now()
      await eventually(
        'the refused stream has caught up',
        async () => (await delivered(buckets.refused)) >= owedThen,
        CATCH_UP_MAX_MS,
      )
      const caughtUpMs = performance.now() - liftedAt
      expect(await stateOf('refused')).toMatchObject({ state: 'running', reason: null })

      const failures = during.get('deliveries_failures_total{reason="forbidden"}') ?? 0
      const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
      process.stdout.write(
        `delivery refusal test: refused for ${seconds(refusedMs)}, told after ${seconds(blockedMs ?? Number.NaN)}, ` +
          `${failures} tries; its lag then ${gaugeOf(during, 'refused').toFixed(1)} s, in the API ${told} s; the others' at most ` +
          `${seconds(worst.lines)} and ${seconds(worst.columns)} from acknowledgement to file, gauge ${seconds(worst.gauge)}, ` +
          `API ${seconds(worst.told)}; caught up ${seconds(caughtUpMs)} after, ${owedThen} events\n`,
      )
      for (const [name, ms] of Object.entries(worst)) expect(ms, name).toBeLessThan(LAG_MAX_MS)
      expect(gaugeOf(during, 'refused') * 1_000).toBeGreaterThan(REFUSED_MS)
      // The API is told at each try.
      expect(told * 1_000).toBeGreaterThan(refusedMs - RETRY_MAX_MS)
      expect(failures).toBeGreaterThan(0)
      expect(failures).toBeLessThan(12 + (2 * REFUSED_MS) / RETRY_MAX_MS)

      for (const { producer } of producers) await producer.finish()
      const owed = producers
        .flatMap(({ collection, producer }) => [...producer.acknowledged].map((n) => `${collection}/${n}`))
        .toSorted()
      for (const [name, bucket] of Object.entries(buckets)) {
        // Looked at once more when the rest is in the archive.
        await eventually('all is in the archive', async () => {
          return ((await exporter.metrics()).get('exporter_events_exported_total') ?? 0) === owed.length
        })
        await look(name as keyof typeof streams)
        await eventually(`all of it is in ${name}`, async () => (await delivered(bucket)) === owed.length)
        expect((await checkDelivered(bucket, ROOT, signal)).events, name).toEqual(owed)
      }
    } finally {
      clearInterval(clock)
      for (const { producer } of producers) void producer.finish()
      await deployment.close()
      await proxy.stop()
      for (const bucket of Object.values(buckets)) await bucket.close()
    }
  },
)

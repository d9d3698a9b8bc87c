import type { TestProject } from 'vitest/node'
import { startBucketServers } from './bucket-servers.ts'
import { startKafka } from './kafka-server.ts'
import { startClickHouse } from './start-clickhouse.ts'

/** What a suite gets from `inject('kafka')`: where Kafka is, or why there is none here. */
export type KafkaForTests = { readonly brokers: readonly string[] } | { readonly unavailable: string }

/** What a suite gets from `inject('buckets')`: where the S3 and GCS servers are, or why there are none here. */
export type BucketsForTests = { readonly s3: string; readonly gcs: string } | { readonly unavailable: string }

declare module 'vitest' {
  export interface ProvidedContext {
    kafka: KafkaForTests
    buckets: BucketsForTests
    clickhouse: { readonly url: string; readonly kind: 'given' | 'container' | 'front' }
  }
}

type Stop = () => Promise<void>

/** Started once a run, stopped at its end: what the suites under contract/, integration/ and compat/ talk to. */
export default async function setup(project: TestProject): Promise<Stop> {
  const starting = [provideKafka(project), provideClickHouse(project), provideBuckets(project)]
  const started = await Promise.allSettled(starting)
  const stop = async (): Promise<void> => {
    for (const one of started) if (one.status === 'fulfilled') await one.value()
  }
  for (const one of started) {
    if (one.status === 'rejected') {
      await stop()
      throw one.reason
    }
  }
  return stop
}

/** Without a Kafka its suites are skipped, and say so; a CI run must not pass that way. */
async function provideKafka(project: TestProject): Promise<Stop> {
  const kafka = await startKafka()
  if ('unavailable' in kafka) {
    if (process.env['CI'] === 'true') throw new Error(kafka.unavailable)
    process.stdout.write(`Kafka tests are skipped. ${kafka.unavailable}\n`)
    project.provide('kafka', { unavailable: kafka.unavailable })
    return async () => {}
  }
  project.provide('kafka', { brokers: kafka.brokers })
  return () => kafka.stop()
}

/** As with Kafka. */
async function provideBuckets(project: TestProject): Promise<Stop> {
  const servers = await startBucketServers()
  if ('unavailable' in servers) {
    if (process.env['CI'] === 'true') throw new Error(servers.unavailable)
    process.stdout.write(`Tests of S3 and GCS buckets are skipped. ${servers.unavailable}\n`)
    project.provide('buckets', { unavailable: servers.unavailable })
    return async () => {}
  }
  project.provide('buckets', { s3: servers.s3, gcs: servers.gcs })
  return () => servers.stop()
}

/** There always is one: where no server is, the engine itself stands in behind a front that speaks its protocol. */
async function provideClickHouse(project: TestProject): Promise<Stop> {
  const clickhouse = await startClickHouse()
  project.provide('clickhouse', { url: clickhouse.url, kind: clickhouse.kind })
  return () => clickhouse.stop()
}

import type { TestProject } from 'vitest/node'
import { startKafka } from './kafka-server.ts'
import { startClickHouse } from './start-clickhouse.ts'

/** What a suite gets from `inject('kafka')`: where Kafka is, or why there is none here. */
export type KafkaForTests = { readonly brokers: readonly string[] } | { readonly unavailable: string }

declare module 'vitest' {
  export interface ProvidedContext {
    kafka: KafkaForTests
    clickhouse: { readonly url: string; readonly kind: 'given' | 'container' | 'front' }
  }
}

type Stop = () => Promise<void>

/** Started once a run, stopped at its end: what the suites under contract/, integration/ and compat/ talk to. */
export default async function setup(project: TestProject): Promise<Stop> {
  const stops = await Promise.all([provideKafka(project), provideClickHouse(project)])
  return async () => {
    for (const stop of stops) await stop()
  }
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

/** There always is one: where no server is, the engine itself stands in behind a front that speaks its protocol. */
async function provideClickHouse(project: TestProject): Promise<Stop> {
  const clickhouse = await startClickHouse()
  project.provide('clickhouse', { url: clickhouse.url, kind: clickhouse.kind })
  return () => clickhouse.stop()
}

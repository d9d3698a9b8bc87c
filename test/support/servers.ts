import { inject } from 'vitest'

/** Brokers of the run's real Kafka. */
export function kafkaBrokers(): readonly string[] {
  const kafka = inject('kafka')
  if ('unavailable' in kafka) throw new Error(kafka.unavailable)
  return kafka.brokers
}

/** Address of the run's ClickHouse. */
export function clickhouseUrl(): string {
  return inject('clickhouse').url
}

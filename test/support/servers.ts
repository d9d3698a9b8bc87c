import { inject } from 'vitest'

/** Why this run has no Kafka; undefined when it has one. A suite that needs it is skipped then, and its name says so. */
export function kafkaMissing(): string | undefined {
  const kafka = inject('kafka')
  return 'unavailable' in kafka ? kafka.unavailable : undefined
}

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

/** Why this run has no S3 and GCS servers; undefined when it has them. */
export function bucketsMissing(): string | undefined {
  const buckets = inject('buckets')
  return 'unavailable' in buckets ? buckets.unavailable : undefined
}

/** Addresses of the run's S3 and GCS servers. */
export function bucketServers(): { readonly s3: string; readonly gcs: string } {
  const buckets = inject('buckets')
  if ('unavailable' in buckets) throw new Error(buckets.unavailable)
  return buckets
}

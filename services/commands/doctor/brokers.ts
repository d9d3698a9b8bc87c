import { readFileSync } from 'node:fs'
import type { Config } from '../../shared/config.ts'
import type { Finding } from './finding.ts'

const TIMEOUT_MS = 5_000

/** The Kafka cluster behind the log: how many brokers keep what is acknowledged. Nothing when the log is embedded. */
export async function examineBrokers({ log }: Config): Promise<readonly Finding[]> {
  if (log.kind !== 'kafka') return []
  const { Kafka, logLevel } = await import('kafkajs')
  const kafka = new Kafka({
    clientId: `${log.clientId}-doctor`,
    brokers: [...log.brokers],
    ...(log.ssl === undefined
      ? {}
      : { ssl: log.ssl.caFile === undefined ? true : { ca: [readFileSync(log.ssl.caFile, 'utf8')] } }),
    ...(log.sasl === undefined ? {} : { sasl: log.sasl as { mechanism: 'plain'; username: string; password: string } }),
    connectionTimeout: TIMEOUT_MS,
    requestTimeout: TIMEOUT_MS,
    retry: { retries: 1 },
    logLevel: logLevel.NOTHING,
  })
  const admin = kafka.admin()
  const subject = 'brokers'
  try {
    await admin.connect()
    const { brokers } = await admin.describeCluster()
    const says = brokers.length === 1 ? 'one' : String(brokers.length)
    if (brokers.length >= 3) return [{ level: 'ok', subject, says }]
    return [
      {
        level: 'warning',
        subject,
        says,
        todo:
          'Kafka writes to memory first and relies on its replicas: with fewer than three brokers, a power cut may lose ' +
          'events that were acknowledged. Run three or more with min.insync.replicas=2, or accept it.',
      },
    ]
  } catch (error) {
    return [{ level: 'problem', subject, says: (error as Error).message, todo: 'See the line above about Kafka.' }]
  } finally {
    await admin.disconnect().catch(() => {})
  }
}

import { dockerAnswers } from './docker.ts'
import { missingForJavaKafka, startJavaKafka } from './kafka-java.ts'

export type StartedKafka =
  | { readonly brokers: string[]; stop(): Promise<void> }
  /** One sentence that says what to install. */
  | { readonly unavailable: string }

/**
 * A real Kafka: the one that KAFKA_BROKERS names, else a container when a Docker engine answers, else Apache Kafka from
 * Maven Central on this machine's Java.
 */
export async function startKafka(): Promise<StartedKafka> {
  const given = process.env['KAFKA_BROKERS']
  if (given !== undefined && given !== '') return { brokers: given.split(','), stop: async () => {} }
  if (await dockerAnswers()) return startContainer()
  const unavailable = await missingForJavaKafka()
  return unavailable === undefined ? startJavaKafka() : { unavailable }
}

async function startContainer(): Promise<StartedKafka> {
  // Loaded here only: it is large, and most machines that come this far have no use for it.
  const { KafkaContainer } = await import('@testcontainers/kafka')
  const container = await new KafkaContainer('confluentinc/cp-kafka:8.1.1')
    .withKraft()
    .withEnvironment({
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: '1000',
      KAFKA_LOG_CLEANER_BACKOFF_MS: '500',
    })
    .start()
  return {
    brokers: [`${container.getHost()}:${container.getMappedPort(9093)}`],
    stop: async () => {
      await container.stop()
    },
  }
}

// Run as a program, for benchmarks and scripts: prints the address as a line of JSON and serves until it is stopped.
if (import.meta.main) {
  const kafka = await startKafka()
  if ('unavailable' in kafka) {
    process.stderr.write(`${kafka.unavailable}\n`)
    process.exitCode = 1
  } else {
    process.stdout.write(`${JSON.stringify({ brokers: kafka.brokers })}\n`)
    const stop = () => void kafka.stop().then(() => process.exit(0))
    process.once('SIGINT', stop).once('SIGTERM', stop)
    setInterval(() => {}, 3_600_000)
  }
}

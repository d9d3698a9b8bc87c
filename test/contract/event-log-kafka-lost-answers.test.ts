import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openKafkaLog } from '../../services/shared/log/kafka/open.ts'
import { eatProduceAnswers } from '../support/answer-eater.ts'
import { kafkaBrokers, kafkaMissing } from '../support/servers.ts'

const PARTITIONS = 3
const CALLS = 300

describe.skipIf(kafkaMissing() !== undefined)('a Kafka whose answers get lost', () => {
  test('what was written and not confirmed is confirmed later, and is in the log once and in order', async () => {
    const brokers = kafkaBrokers()
    const topic = `lost-answers-${randomUUID()}`
    const [broker = ''] = brokers
    const eater = await eatProduceAnswers(broker, 4)
    try {
      const log = await openKafkaLog({ brokers, clientId: 'lost', logger: { warn: () => {} }, lingerMs: 1 })
      await log.ensureTopics([{ name: topic, partitions: PARTITIONS, compacted: false }])
      // A few calls at a time, so that there are many requests.
      for (let start = 0; start < CALLS; start += 6) {
        await Promise.all(
          Array.from({ length: 6 }, (_, i) => {
            const n = start + i
            const values = [`${n}a`, `${n}b`].map((text) => Buffer.from(text))
            return log.append(
              topic,
              values.map((value) => ({ partition: n % PARTITIONS, key: null, value })),
            )
          }),
        )
      }
      const seen: string[][] = Array.from({ length: PARTITIONS }, () => [])
      const stop = new AbortController()
      const { caughtUp, done } = log.follow(
        topic,
        ({ partition, value }) => seen[partition]?.push(String(value)),
        stop.signal,
      )
      await caughtUp
      stop.abort()
      await done
      await log.close()
      const sent = Array.from({ length: PARTITIONS }, (_, partition) =>
        Array.from({ length: CALLS }, (_, n) => n)
          .filter((n) => n % PARTITIONS === partition)
          .flatMap((n) => [`${n}a`, `${n}b`]),
      )
      expect(seen).toEqual(sent)
      expect(eater.eaten).toBeGreaterThan(10)
    } finally {
      await eater.close()
    }
  })
})

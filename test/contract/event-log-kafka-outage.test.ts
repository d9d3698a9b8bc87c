import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { openKafkaLog, type KafkaLogSettings, type KafkaSasl } from '../../services/shared/log/kafka/open.ts'
import { missingForJavaKafka, SASL_USER, startJavaKafka, type JavaKafka } from '../support/kafka-java.ts'
import { eventually, freshGroup, freshTopic, join, message, readAll, texts } from './event-log-kit.ts'

/** A broker of this file's own, to be killed: needs Java, also where the other suites use a container. */
const possible = 'brokers' in inject('kafka') && (await missingForJavaKafka()) === undefined

describe.skipIf(!possible)('a Kafka that is killed, and one behind passwords', () => {
  let kafka: JavaKafka
  let settings: KafkaLogSettings
  beforeAll(async () => {
    kafka = await startJavaKafka()
    settings = {
      brokers: kafka.brokers,
      clientId: 'outage',
      logger: { warn() {} },
      sessionTimeoutMs: 6_000,
      rebalanceTimeoutMs: 6_000,
      heartbeatMs: 300,
      requestTimeoutMs: 5_000,
      replicationFactor: 1,
    }
  })
  afterAll(async () => {
    await kafka?.stop()
  })

  test('nothing that was acknowledged is lost when the broker is killed and comes back, and all goes on', async () => {
    const log = await openKafkaLog(settings)
    const hasty = await openKafkaLog({ ...settings, deliveryTimeoutMs: 500, requestTimeoutMs: 1_000 })
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    const followed = new Set<string>()
    const stop = new AbortController()
    const note = (text: string | undefined) => void followed.add(text ?? '')
    const following = log.follow(spec.name, (record) => note(record.value?.toString()), stop.signal)
    const consumed = new Set<string>()
    const member = join(log, spec.name, freshGroup(), async (claim) => {
      while (!claim.signal.aborted) {
        const records = await claim.read({ maxBytes: 1 << 20, maxRecords: 100, waitMs: 200 })
        const last = records.at(-1)
        if (last === undefined) continue
        try {
          await claim.commit(last.offset + 1n)
        } catch {
          return // whoever gets the partition next reads these again
        }
        for (const text of texts(records)) consumed.add(text ?? '')
      }
    })
    await following.caughtUp
    await eventually(() => expect(member.held.size).toBe(2))

    const acknowledged: string[] = []
    const writing = new AbortController()
    const writers = [0, 1].map(async (partition) => {
      for (let i = 0; !writing.signal.aborted; i += 1) {
        const text = `${partition}:${i}`
        await log.append(spec.name, [message(text, partition)]).then(
          () => void acknowledged.push(text),
          (error: unknown) => expect(error).toMatchObject({ code: 'LOG_UNAVAILABLE' }),
        )
      }
    })
    await hasty.append(spec.name, [message('hasty', 0)])
    await eventually(() => expect(acknowledged.length).toBeGreaterThan(20))
    await kafka.kill()
    const atKill = acknowledged.length
    await expect(hasty.append(spec.name, [message('too late', 0)])).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
    await expect(hasty.ping()).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
    await kafka.restart()
    await eventually(() => expect(acknowledged.length).toBeGreaterThan(atKill + 50), 60_000)
    writing.abort()
    await Promise.all(writers)

    const there = new Set(texts(await readAll(log, spec.name)))
    expect(acknowledged.filter((text) => !there.has(text))).toEqual([])
    await eventually(() => expect(acknowledged.filter((text) => !followed.has(text))).toEqual([]), 60_000)
    await eventually(() => expect(acknowledged.filter((text) => !consumed.has(text))).toEqual([]), 60_000)
    await log.ping()
    stop.abort()
    await following.done
    await member.stop()
    await hasty.close()
    await log.close()
  })

  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)(
    'a user gets in by %s, with the right password only',
    async (mechanism) => {
      const sasl: KafkaSasl = { mechanism, ...SASL_USER }
      const secured = { ...settings, brokers: kafka.saslBrokers }
      const log = await openKafkaLog({ ...secured, sasl })
      const spec = freshTopic()
      await log.ensureTopics([spec])
      await log.append(spec.name, [message('through')])
      expect(texts(await readAll(log, spec.name))).toEqual(['through'])
      await log.close()
      await expect(openKafkaLog({ ...secured, sasl: { ...sasl, password: 'wrong' } })).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
      })
    },
  )
})

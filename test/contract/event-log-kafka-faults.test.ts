import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join as joinPath } from 'node:path'
import { createInterface } from 'node:readline'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { openKafkaLog, type KafkaLog, type KafkaLogSettings } from '../../services/shared/log/kafka/open.ts'
import type { LogRecord } from '../../services/shared/log/port.ts'
import { eventually, freshGroup, freshTopic, join, message, onlyClaim, readAll, take, texts } from './event-log-kit.ts'

const kafka = inject('kafka')
const brokers = 'brokers' in kafka ? kafka.brokers : []

const settings: KafkaLogSettings = {
  brokers,
  clientId: 'faults',
  logger: { warn() {} },
  sessionTimeoutMs: 3_000,
  rebalanceTimeoutMs: 3_000,
  heartbeatMs: 200,
  replicationFactor: 1,
}

describe.skipIf(brokers.length === 0)('the log on a real Kafka', () => {
  let log: KafkaLog
  const admin = new Kafka({ brokers: [...brokers, ''].slice(0, 1), logLevel: logLevel.NOTHING }).admin()
  beforeAll(async () => {
    log = await openKafkaLog(settings)
    await admin.connect()
  })
  afterAll(async () => {
    await admin.disconnect()
    await log.close()
  })

  test('a topic that is deleted and made again has another epoch, and who followed the old one breaks off', async () => {
    const spec = freshTopic()
    const [old] = await log.ensureTopics([spec])
    await log.append(spec.name, [message('old')])
    const seen: LogRecord[] = []
    const following = log.follow(spec.name, (record) => void seen.push(record), new AbortController().signal)
    await following.caughtUp
    await admin.deleteTopics({ topics: [spec.name] })
    await eventually(async () => {
      const [made] = await log.ensureTopics([spec])
      expect(made?.epoch).not.toBe(old?.epoch)
    })
    await expect(following.done).rejects.toMatchObject({ code: 'LOG_REJECTED' })
    await eventually(async () => void (await log.append(spec.name, [message('new')])))
    expect(texts(await readAll(log, spec.name))).toContain('new')
    expect(texts(seen)).toEqual(['old'])
  })

  test('two members with commits in flight while the group changes: exactly one commit wins each round', async () => {
    const spec = freshTopic()
    const group = freshGroup()
    await log.ensureTopics([spec])
    const won = new Map<string, string>()
    let lost = 0
    const commitAll = (name: string) => async (claim: Parameters<Parameters<typeof join>[3] & object>[0]) => {
      // Clings to its claim on purpose: goes on committing after the signal, until it is refused.
      for (let i = 0; ; i += 1) {
        const said = `${name}:${claim.committed.metadata.length}:${i}:${randomUUID()}`
        try {
          await claim.commit(0n, said)
          won.set(said, name)
        } catch (error) {
          expect(error).toMatchObject({ code: 'LOG_FENCED' })
          lost += 1
          return
        }
        const now = (await log.committed(spec.name, group)).get(0)?.metadata ?? ''
        // What it was told is durable stands until somebody who holds the partition says otherwise.
        if (now !== said) expect(now.startsWith(`${name}:`)).toBe(false)
        if (lost >= 3) return
      }
    }
    const one = join(log, spec.name, group, commitAll('one'))
    await onlyClaim(one, 20_000)
    const second = await openKafkaLog(settings)
    const two = join(second, spec.name, group, commitAll('two'))
    await eventually(() => expect(one.given.length + two.given.length).toBeGreaterThanOrEqual(2), 30_000)
    const third = join(second, spec.name, group, commitAll('three'))
    await eventually(() => expect(lost).toBeGreaterThanOrEqual(1), 30_000)
    await Promise.all([one.stop(), two.stop(), third.stop()])
    const last = (await log.committed(spec.name, group)).get(0)?.metadata ?? ''
    expect(won.has(last)).toBe(true)
    await second.close()
  })

  test('a frozen process that thaws after its session has ended is refused', async () => {
    const spec = freshTopic()
    const group = freshGroup()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('a')])
    const script = joinPath(import.meta.dirname, '../support/kafka-member.ts')
    const child = spawn(process.execPath, [script, brokers[0] ?? '', spec.name, group], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const said = async () => (await lines.next()).value
    try {
      expect(await said()).toBe('claimed')
      child.stdin.write('commit\n')
      expect(await said()).toBe('committed')
      child.kill('SIGSTOP')
      const next = join(log, spec.name, group)
      const claim = await onlyClaim(next, 30_000)
      expect(claim.committed).toEqual({ offset: 1n, metadata: 'from the frozen one' })
      await claim.commit(0n, 'the owner')
      child.stdin.write('commit\n')
      child.kill('SIGCONT')
      expect(await said()).toBe('LOG_FENCED')
      expect((await log.committed(spec.name, group)).get(0)).toEqual({ offset: 0n, metadata: 'the owner' })
      await next.stop()
    } finally {
      child.kill('SIGKILL')
    }
  })

  test('a group whose place is gone goes on with the oldest record that is there', async () => {
    const spec = freshTopic()
    const group = freshGroup()
    await log.ensureTopics([spec])
    await log.append(
      spec.name,
      ['a', 'b', 'c'].map((value) => message(value)),
    )
    const first = join(log, spec.name, group)
    await (await onlyClaim(first, 20_000)).commit(1n, 'kept')
    await first.stop()
    await admin.fetchTopicMetadata({ topics: [spec.name] }) // or it knows no leader to ask
    await admin.deleteTopicRecords({ topic: spec.name, partitions: [{ partition: 0, offset: '2' }] })
    expect(await log.ends(spec.name)).toEqual([{ partition: 0, start: 2n, end: 3n }])
    const next = join(log, spec.name, group)
    const claim = await onlyClaim(next, 20_000)
    expect(claim.committed).toEqual({ offset: 1n, metadata: 'kept' })
    expect(texts(await take(claim, 1))).toEqual(['c'])
    await next.stop()
    expect(texts(await readAll(log, spec.name))).toEqual(['c'])
  })

  test('a compacted topic with gaps, tombstones and an emptied beginning is followed to its end', async () => {
    const { name } = freshTopic()
    const configEntries = Object.entries({
      'cleanup.policy': 'compact',
      'segment.ms': '50',
      'min.cleanable.dirty.ratio': '0.001',
      'delete.retention.ms': '0',
    }).map(([key, value]) => ({ name: key, value }))
    await admin.createTopics({ topics: [{ topic: name, numPartitions: 2, configEntries }] })
    expect((await log.describe(name)).partitions).toBe(2)
    let appended = 0
    await eventually(async () => {
      await log.append(name, [message(String(appended), 0, `key-${appended % 3}`), message(null, 0, 'gone')])
      appended += 1
      const records = await readAll(log, name)
      const offsets = records.map(({ offset }) => offset)
      // The cleaner has been here: far fewer records than offsets, and still we come to the end.
      expect(records.length).toBeLessThan(appended)
      expect(offsets.at(-1)).toBe(BigInt(2 * appended - 1))
    }, 60_000)
    expect(appended).toBeGreaterThan(3)
  })

  test('a connection that has nothing to do sets no timers, and none of negative length', async () => {
    const warnings: string[] = []
    const onWarning = (warning: Error) => void warnings.push(warning.name)
    process.on('warning', onWarning)
    const idle = await openKafkaLog(settings)
    const spec = freshTopic()
    await idle.ensureTopics([spec])
    await idle.append(spec.name, [message('a')])
    const timers = vi.spyOn(globalThis, 'setTimeout')
    try {
      // Unpatched, a connection sets one each millisecond, for ever: hundreds while this test waits for ten ticks.
      let ticks = 0
      await new Promise<void>((resolve) => {
        const tick = setInterval(() => {
          ticks += 1
          if (ticks < 10) return
          clearInterval(tick)
          resolve()
        }, 50)
      })
      expect(timers.mock.calls.length).toBeLessThan(20)
      expect(timers.mock.calls.filter(([, delayMs]) => (delayMs ?? 0) < 0)).toEqual([])
    } finally {
      timers.mockRestore()
      process.off('warning', onWarning)
      await idle.close()
    }
    expect(warnings).not.toContain('TimeoutNegativeWarning')
  })
})

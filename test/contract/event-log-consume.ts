import { expect, test } from 'vitest'
import type { LogRecord, PartitionClaim } from '../../services/shared/log/port.ts'
import {
  eventually,
  freshGroup,
  freshTopic,
  join,
  message,
  onlyClaim,
  partitionsOf,
  take,
  texts,
  type Setting,
} from './event-log-kit.ts'

/** Groups: who gets which partition, from where, and how it ends. */
export function consumeTests({ adapter, fixture }: Setting): void {
  const patience = 2 * adapter.takeoverMsMax + 20_000

  test('a lone member gets every partition once, with the topic’s epoch and nothing committed', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 4 })
    const [info] = await log.ensureTopics([spec])
    const member = join(log, spec.name, freshGroup())
    await eventually(() => expect(partitionsOf(member)).toEqual([0, 1, 2, 3]), patience)
    expect(member.given).toHaveLength(4)
    for (const claim of member.given) {
      expect(claim.topic).toBe(spec.name)
      expect(claim.epoch).toBe(info?.epoch)
      expect(claim.committed).toEqual({ offset: 0n, metadata: '' })
      expect(claim.signal.aborted).toBe(false)
    }
    await member.stop()
  })

  test('groups do not disturb each other: each reads everything', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('a'), message('b')])
    const members = [freshGroup(), freshGroup()].map((group) => join(log, spec.name, group))
    for (const member of members) {
      const claim = await onlyClaim(member, patience)
      expect(texts(await take(claim, 2))).toEqual(['a', 'b'])
      await claim.commit(2n)
    }
    for (const member of members) await member.stop()
  })

  test('a second member resumes where the first one committed, and is told the metadata', async () => {
    const { log, openSecond } = fixture()
    const spec = freshTopic()
    const group = freshGroup()
    await log.ensureTopics([spec])
    await log.append(
      spec.name,
      Array.from({ length: 10 }, (_, i) => message(String(i))),
    )
    const first = join(log, spec.name, group)
    const claim = await onlyClaim(first, patience)
    const records = await take(claim, 6)
    await claim.commit(records[3]?.offset ?? -1n, 'v1;p=3-5')
    await first.stop()

    const second = await openSecond()
    const next = join(second, spec.name, group)
    try {
      const resumed = await onlyClaim(next, patience)
      expect(resumed.committed).toEqual({ offset: records[3]?.offset, metadata: 'v1;p=3-5' })
      expect(texts(await take(resumed, 7))).toEqual(['3', '4', '5', '6', '7', '8', '9'])
      await resumed.commit(10n)
    } finally {
      await next.stop()
      await second.close()
    }
    expect(await log.committed(spec.name, group)).toEqual(new Map([[0, { offset: 10n, metadata: '' }]]))
  })

  test('two members share the partitions evenly, and each record goes to one of them', async () => {
    const { log, openSecond } = fixture()
    const spec = freshTopic({ partitions: 4 })
    const group = freshGroup()
    await log.ensureTopics([spec])
    const seen: string[] = []
    const drain = async (claim: PartitionClaim) => {
      while (!claim.signal.aborted) {
        const records = await claim.read({ maxBytes: 1 << 20, maxRecords: 100, waitMs: 200 })
        const last = records.at(-1)
        if (last === undefined) continue
        try {
          await claim.commit(last.offset + 1n)
        } catch {
          return // lost meanwhile: the next owner works on these
        }
        for (const record of records) seen.push(`${record.partition}:${record.value?.toString()}`)
      }
    }
    const one = join(log, spec.name, group, drain)
    await eventually(() => expect(one.held.size).toBe(4), patience)
    const second = await openSecond()
    const two = join(second, spec.name, group, drain)
    try {
      await eventually(() => {
        expect([one.held.size, two.held.size]).toEqual([2, 2])
        expect([...partitionsOf(one), ...partitionsOf(two)].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
      }, patience)
      const sent = Array.from({ length: 400 }, (_, i) => message(String(i), i % 4))
      await log.append(spec.name, sent)
      const expected = sent.map((m) => `${m.partition}:${m.value?.toString()}`).toSorted()
      await eventually(() => expect(seen.length).toBeGreaterThanOrEqual(400), patience)
      expect(seen.toSorted()).toEqual(expected)

      await one.stop()
      await eventually(() => expect(two.held.size).toBe(4), patience)
      await log.append(spec.name, [message('later', 0), message('later', 1), message('later', 2), message('later', 3)])
      await eventually(() => expect(seen.length).toBeGreaterThanOrEqual(404), patience)
      expect(seen).toHaveLength(404)
    } finally {
      await one.stop()
      await two.stop()
      await second.close()
    }
  })

  test('a handler that rejects ends the consumer with its error, after the other handlers were stopped', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 3 })
    const group = freshGroup()
    await log.ensureTopics([spec])
    const broken = new Error('cannot work')
    let running = 0
    let stopped = 0
    const member = join(log, spec.name, group, async (claim) => {
      running += 1
      await eventually(() => expect(running).toBe(3), patience)
      if (claim.partition === 1) throw broken
      await new Promise<void>((resolve) => {
        claim.signal.addEventListener('abort', () => resolve(), { once: true })
      })
      stopped += 1
    })
    await expect(member.done).rejects.toBe(broken)
    expect(stopped).toBe(2)
    expect(member.held.size).toBe(0)

    // The group was left: the next member does not have to wait for a dead one.
    const next = join(log, spec.name, group)
    await eventually(() => expect(next.held.size).toBe(3), patience)
    await next.stop()
  })

  test('a stopped consumer lets handlers finish: their last commit still holds', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    const group = freshGroup()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('a'), message('b')])
    const stop = new AbortController()
    let records: readonly LogRecord[] = []
    const done = log.consume({ topic: spec.name, group, signal: stop.signal }, async (claim) => {
      records = await take(claim, 2)
      stop.abort()
      await eventually(() => expect(claim.signal.aborted).toBe(true))
      await claim.commit(2n, 'last')
    })
    await done
    expect(texts(records)).toEqual(['a', 'b'])
    expect(await log.committed(spec.name, group)).toEqual(new Map([[0, { offset: 2n, metadata: 'last' }]]))
  })

  test('a consumer whose signal had aborted before resolves without a claim', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    const stop = new AbortController()
    stop.abort()
    let given = 0
    await log.consume({ topic: spec.name, group: freshGroup(), signal: stop.signal }, async () => {
      given += 1
    })
    expect(given).toBe(0)
  })

  test('closing a log stops its consumers as their signal would', async () => {
    const { log, openSecond } = fixture()
    const spec = freshTopic()
    const group = freshGroup()
    await log.ensureTopics([spec])
    const second = await openSecond()
    const member = join(second, spec.name, group)
    await onlyClaim(member, patience)
    await second.close()
    await member.done
    const next = join(log, spec.name, group)
    await onlyClaim(next, patience)
    await next.stop()
  })

  test('a group that committed nothing has nothing committed', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    expect((await log.committed(spec.name, freshGroup())).size).toBe(0)
  })
}

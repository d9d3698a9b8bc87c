import { expect, test } from 'vitest'
import type { PartitionClaim } from '../../services/shared/log/port.ts'
import {
  eventually,
  freshGroup,
  freshTopic,
  join,
  message,
  onlyClaim,
  take,
  texts,
  type Setting,
} from './event-log-kit.ts'

/** One claim: what reading and committing promise while it is held and after it is lost. */
export function claimTests({ adapter, fixture }: Setting): void {
  const patience = 2 * adapter.takeoverMsMax + 20_000

  /** Runs `work` with the claim of a fresh one-partition topic. */
  async function withClaim(values: readonly (string | Buffer)[], work: (claim: PartitionClaim) => Promise<void>) {
    const { log } = fixture()
    const spec = freshTopic()
    const group = freshGroup()
    await log.ensureTopics([spec])
    await log.append(
      spec.name,
      values.map((value) => message(value)),
    )
    const member = join(log, spec.name, group)
    try {
      await work(await onlyClaim(member, patience))
    } finally {
      await member.stop()
    }
    return { log, topic: spec.name, group }
  }

  test('read hands out each record once, in offset order, never more than maxRecords', async () => {
    await withClaim(
      Array.from({ length: 25 }, (_, i) => String(i)),
      async (claim) => {
        const got: string[] = []
        while (got.length < 25) {
          const records = await claim.read({ maxBytes: 1 << 20, maxRecords: 10, waitMs: 5_000 })
          expect(records.length).toBeGreaterThan(0)
          expect(records.length).toBeLessThanOrEqual(10)
          for (const record of records) got.push(record.value?.toString() ?? '')
        }
        expect(got).toEqual(Array.from({ length: 25 }, (_, i) => String(i)))
      },
    )
  })

  test('read keeps to maxBytes, but always hands out one record', async () => {
    const values = [Buffer.alloc(1_000, 1), Buffer.alloc(1_000, 2), Buffer.alloc(50_000, 3), Buffer.alloc(10, 4)]
    await withClaim(values, async (claim) => {
      const sizes: number[][] = []
      let count = 0
      while (count < values.length) {
        const records = await claim.read({ maxBytes: 2_100, maxRecords: 100, waitMs: 5_000 })
        expect(records.length).toBeGreaterThan(0)
        count += records.length
        sizes.push(records.map((record) => record.value?.length ?? 0))
      }
      for (const batch of sizes) {
        expect(batch.length === 1 || batch.reduce((a, b) => a + b, 0) <= 2_100).toBe(true)
      }
      expect(sizes.flat()).toEqual([1_000, 1_000, 50_000, 10])
    })
  })

  test('read with nothing to read answers empty after waitMs, and then goes on', async () => {
    const { log } = fixture()
    await withClaim([], async (claim) => {
      expect(await claim.read({ maxBytes: 1 << 20, maxRecords: 10, waitMs: 50 })).toEqual([])
      expect(await claim.read({ maxBytes: 1 << 20, maxRecords: 10, waitMs: 0 })).toEqual([])
      const waiting = claim.read({ maxBytes: 1 << 20, maxRecords: 10, waitMs: 30_000 })
      await log.append(claim.topic, [message('now')])
      expect(texts(await waiting)).toEqual(['now'])
    })
  })

  test('a read that waits resolves early when the consumer is stopped', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    const stop = new AbortController()
    let answer: readonly unknown[] | undefined
    await log.consume({ topic: spec.name, group: freshGroup(), signal: stop.signal }, async (claim) => {
      const waiting = claim.read({ maxBytes: 1 << 20, maxRecords: 10, waitMs: 3_600_000 })
      stop.abort()
      answer = await waiting
    })
    expect(answer).toEqual([])
  })

  test('commit keeps 4,096 bytes of metadata, the newest commit wins, and going back is allowed', async () => {
    const metadata = 'é'.repeat(2_048)
    const { log, topic, group } = await withClaim(['a', 'b', 'c'], async (claim) => {
      await claim.commit(2n, 'first')
      await claim.commit(1n, metadata)
    })
    const committed = await log.committed(topic, group)
    expect(committed.get(0)?.offset).toBe(1n)
    expect(committed.get(0)?.metadata === metadata).toBe(true)
  })

  test('commit without metadata clears what was said before', async () => {
    const { log, topic, group } = await withClaim(['a'], async (claim) => {
      await claim.commit(0n, 'intent')
      await claim.commit(1n)
    })
    expect(await log.committed(topic, group)).toEqual(new Map([[0, { offset: 1n, metadata: '' }]]))
  })

  test('metadata that is too long is refused and changes nothing', async () => {
    const { log, topic, group } = await withClaim(['a'], async (claim) => {
      await claim.commit(0n, 'kept')
      await expect(claim.commit(1n, 'x'.repeat(4_097))).rejects.toMatchObject({ code: 'LOG_REJECTED' })
    })
    expect(await log.committed(topic, group)).toEqual(new Map([[0, { offset: 0n, metadata: 'kept' }]]))
  })

  test('a handler that clings to a lost partition has its commits refused, and changes nothing', async () => {
    const { log, openSecond } = fixture()
    const spec = freshTopic({ partitions: 2 })
    const group = freshGroup()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('a', 0), message('a', 1)])
    const letGo = new AbortController()
    const clinging = join(log, spec.name, group, async () => {
      await new Promise<void>((resolve) => {
        letGo.signal.addEventListener('abort', () => resolve(), { once: true })
      })
    })
    await eventually(() => expect(clinging.held.size).toBe(2), patience)
    const second = await openSecond()
    const next = join(second, spec.name, group)
    try {
      await eventually(() => expect(next.held.size).toBeGreaterThan(0), patience)
      const taken = next.given[0]
      if (taken === undefined) throw new Error('nothing was taken over')
      const stale = clinging.given.find((claim) => claim.partition === taken.partition)
      if (stale === undefined) throw new Error('it was never held')
      expect(stale.signal.aborted).toBe(true)
      await taken.commit(1n, 'the owner')
      await expect(stale.commit(0n, 'the ghost')).rejects.toMatchObject({ code: 'LOG_FENCED' })
      expect((await log.committed(spec.name, group)).get(taken.partition)).toEqual({
        offset: 1n,
        metadata: 'the owner',
      })
    } finally {
      letGo.abort()
      await clinging.stop()
      await next.stop()
      await second.close()
    }
  })

  test('a claim of a handler that has returned is fenced', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    const member = join(log, spec.name, freshGroup())
    const claim = await onlyClaim(member, patience)
    await member.stop()
    await expect(claim.commit(1n)).rejects.toMatchObject({ code: 'LOG_FENCED' })
  })

  test('a claim that does not read neither fills memory nor holds up the others', async () => {
    const { log, readAheadBytes } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    const value = Buffer.alloc(10_000, 1)
    for (let i = 0; i < 20; i += 1) {
      const call = Array.from({ length: 100 }, (_, j) => ({ partition: j % 2, key: null, value }))
      await log.append(spec.name, call)
    }
    let highest = 0
    let count = 0
    const bufferBytesMax = 1 << 20
    const member = join(
      log,
      spec.name,
      freshGroup(),
      async (claim) => {
        if (claim.partition === 0) return // holds it, reads nothing
        while (count < 1_000) {
          count += (await claim.read({ maxBytes: 100_000, maxRecords: 50, waitMs: 1_000 })).length
          highest = Math.max(highest, readAheadBytes?.() ?? 0)
          if (claim.signal.aborted) return
        }
      },
      bufferBytesMax,
    )
    await eventually(() => expect(count).toBe(1_000), patience)
    expect(highest).toBeLessThanOrEqual(bufferBytesMax)
    const stalled = member.held.get(0)
    if (stalled === undefined) throw new Error('partition 0 is not held')
    expect(await take(stalled, 1_000)).toHaveLength(1_000)
    await member.stop()
  })
}

import { expect, test } from 'vitest'
import {
  eventually,
  freshGroup,
  freshTopic,
  join,
  message,
  onlyClaim,
  readAll,
  take,
  texts,
  type Setting,
} from './event-log-kit.ts'

/** Compaction and retention: what may go, and what must never. Times are the log's own unless it has `sweep`. */
export function cleanupTests({ adapter, fixture }: Setting): void {
  const patience = 2 * adapter.takeoverMsMax + 20_000

  test('a compacted topic keeps at least the newest value of each key, in order, and the newest deletion', async () => {
    const { log, sweep } = fixture()
    const spec = freshTopic({ compacted: true })
    await log.ensureTopics([spec])
    for (let round = 0; round < 30; round += 1) {
      const call = Array.from({ length: 20 }, (_, key) => message(`${key}:${round}`, 0, `key-${key}`))
      await log.append(spec.name, call)
    }
    await log.append(spec.name, [message(null, 0, 'key-3')])
    const before = await log.ends(spec.name)
    await sweep?.()
    await log.append(spec.name, [message('4:new', 0, 'key-4')])

    const records = await readAll(log, spec.name)
    const state = new Map<string, string | null>()
    let last = -1n
    for (const record of records) {
      expect(record.offset).toBeGreaterThan(last)
      last = record.offset
      state.set(record.key?.toString() ?? '', record.value?.toString() ?? null)
    }
    const expected = new Map<string, string | null>()
    for (let key = 0; key < 20; key += 1) expected.set(`key-${key}`, `${key}:29`)
    expected.set('key-3', null)
    expected.set('key-4', '4:new')
    expect(state).toEqual(expected)
    const after = await log.ends(spec.name)
    expect(after[0]?.end).toBe((before[0]?.end ?? 0n) + 1n)
    if (sweep !== undefined) expect(records.length).toBeLessThan(100)
  })

  test('a message without a key is refused by a compacted topic', async () => {
    const { log } = fixture()
    const spec = freshTopic({ compacted: true })
    await log.ensureTopics([spec])
    await expect(log.append(spec.name, [message('a', 0, 'k'), message('b')])).rejects.toMatchObject({
      code: 'LOG_REJECTED',
    })
    expect(await readAll(log, spec.name)).toEqual([])
  })

  test('a claim reads across what compaction took away', async () => {
    const { log, sweep } = fixture()
    const spec = freshTopic({ compacted: true })
    const group = freshGroup()
    await log.ensureTopics([spec])
    for (let i = 0; i < 50; i += 1) await log.append(spec.name, [message(String(i), 0, i % 7 === 0 ? `k${i}` : 'same')])
    const member = join(log, spec.name, group)
    const claim = await onlyClaim(member, patience)
    await take(claim, 3)
    await sweep?.()
    const seen: string[] = []
    await eventually(async () => {
      const records = await claim.read({ maxBytes: 1 << 20, maxRecords: 5, waitMs: 100 })
      for (const record of records) seen.push(record.value?.toString() ?? '')
      expect(seen).toContain('49')
    }, patience)
    for (const newest of ['7', '14', '21', '28', '35', '42', '49']) expect(seen).toContain(newest)
    await member.stop()
  })

  // Kafka cleans up in its own time, minutes later: there is nothing to ask of it here.
  if (!adapter.sweeps) return

  test('records older than the retention time go, and the start says so', async () => {
    const { log, sweep } = fixture()
    const spec = freshTopic({ partitions: 2, retentionMs: 1 })
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('a', 0), message('b', 0), message('c', 1)])
    await eventually(async () => {
      await sweep?.()
      expect(await log.ends(spec.name)).toEqual([
        { partition: 0, start: 2n, end: 2n },
        { partition: 1, start: 1n, end: 1n },
      ])
    })
    await log.ensureTopics([{ ...spec, retentionMs: 3_600_000 }])
    const last = await log.append(spec.name, [message('d', 0)])
    expect(last.get(0)).toBe(2n)
    await sweep?.()
    expect(texts(await readAll(log, spec.name))).toEqual(['d'])
  })

  test('a partition above its retention size loses its oldest records, and no more than needed', async () => {
    const { log, sweep } = fixture()
    const spec = freshTopic({ retentionBytes: 100_000 })
    await log.ensureTopics([spec])
    for (let i = 0; i < 30; i += 1) await log.append(spec.name, [message(Buffer.alloc(10_000, i))])
    await sweep?.()
    const records = await readAll(log, spec.name)
    expect(records.map((record) => record.value?.[0])).toEqual(
      Array.from({ length: records.length }, (_, i) => 30 - records.length + i),
    )
    // A log may count what a record takes on its disk rather than what it holds.
    expect(records.length).toBeGreaterThanOrEqual(7)
    expect(records.length).toBeLessThanOrEqual(20)
    expect(await log.ends(spec.name)).toEqual([{ partition: 0, start: BigInt(30 - records.length), end: 30n }])
  })

  test('a group whose place is gone goes on with the oldest record that is there', async () => {
    const { log, sweep } = fixture()
    const spec = freshTopic({ retentionMs: 1 })
    const group = freshGroup()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('a'), message('b')])
    await eventually(async () => {
      await sweep?.()
      expect((await log.ends(spec.name))[0]?.start).toBe(2n)
    })
    await log.ensureTopics([{ ...spec, retentionMs: 3_600_000 }])
    await log.append(spec.name, [message('c')])
    const member = join(log, spec.name, group)
    const claim = await onlyClaim(member, patience)
    expect(texts(await take(claim, 1))).toEqual(['c'])
    await member.stop()
  })
}

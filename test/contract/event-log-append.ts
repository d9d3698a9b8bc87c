import { expect, test } from 'vitest'
import { hasCode } from '../../services/shared/errors.ts'
import { eventually, freshTopic, message, readAll, texts, type Setting } from './event-log-kit.ts'

export function appendTests({ adapter, fixture }: Setting): void {
  test('what was appended is there for another handle, in order, when append has resolved', async () => {
    const { log, openSecond } = fixture()
    const spec = freshTopic({ partitions: 3 })
    await log.ensureTopics([spec])
    const sent = [0, 1, 2].map((partition) => Array.from({ length: 50 }, (_, i) => `${partition}:${i}`))
    for (let i = 0; i < 50; i += 10) {
      const call = sent.flatMap((values, partition) => values.slice(i, i + 10).map((v) => message(v, partition)))
      await log.append(spec.name, call)
    }
    const second = await openSecond()
    try {
      const records = await readAll(second, spec.name)
      for (const [partition, values] of sent.entries()) {
        expect(texts(records.filter((record) => record.partition === partition))).toEqual(values)
      }
    } finally {
      await second.close()
    }
  })

  test('append answers with the offset of its last message in each partition it used', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 3 })
    await log.ensureTopics([spec])
    const first = await log.append(spec.name, [message('a', 0), message('b', 2), message('c', 0)])
    expect([...first.keys()].toSorted((a, b) => a - b)).toEqual([0, 2])
    const second = await log.append(spec.name, [message('d', 0)])
    expect([...second.keys()]).toEqual([0])
    const records = await readAll(log, spec.name)
    const offsetOf = (value: string) => records.find((record) => record.value?.toString() === value)?.offset
    expect(first.get(0)).toBe(offsetOf('c'))
    expect(first.get(2)).toBe(offsetOf('b'))
    expect(second.get(0)).toBe(offsetOf('d'))
    expect(offsetOf('d')).toBeGreaterThan(offsetOf('c') ?? 0n)
  })

  test('ends are empty at first and then frame what was appended', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    const [empty] = await log.ends(spec.name)
    expect(empty?.start).toBe(empty?.end)
    const last = await log.append(spec.name, [message('a', 1), message('b', 1)])
    const ends = await log.ends(spec.name)
    expect(ends.map(({ partition }) => partition)).toEqual([0, 1])
    expect(ends[0]).toEqual({ partition: 0, start: 0n, end: 0n })
    expect(ends[1]).toEqual({ partition: 1, start: 0n, end: (last.get(1) ?? -9n) + 1n })
  })

  test('keys and values come back byte for byte: null, empty, binary and large ones', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    const binary = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    const sent = [
      { partition: 0, key: null, value: binary },
      { partition: 0, key: binary, value: null },
      { partition: 0, key: null, value: null },
      { partition: 0, key: Buffer.alloc(0), value: Buffer.alloc(0) },
      { partition: 0, key: Buffer.from('k'), value: Buffer.alloc(700_000, 7) },
      { partition: 0, key: null, value: Buffer.from('after') },
    ]
    const before = Date.now()
    await log.append(spec.name, sent)
    const records = await readAll(log, spec.name)
    expect(records.map(({ partition, key, value }) => ({ partition, key, value }))).toEqual(sent)
    for (const record of records) {
      expect(Math.abs(record.appendedAtMs - before)).toBeLessThan(600_000)
    }
  })

  test('a caller may reuse its buffers once append has resolved, and the log never shares one', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    const value = Buffer.from('first')
    await log.append(spec.name, [{ partition: 0, key: null, value }])
    value.write('WRONG')
    expect(texts(await readAll(log, spec.name))).toEqual(['first'])
  })

  test('twenty thousand messages from many small calls at once are all there, each once, each call in order', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 4 })
    await log.ensureTopics([spec])
    const calls = Array.from({ length: 1_000 }, (_, call) =>
      Array.from({ length: 20 }, (_, i) => message(`${call}:${i}`, (call + i) % 4)),
    )
    const answers = await Promise.all(calls.map((call) => log.append(spec.name, call)))
    expect(answers.every((answer) => answer.size === 4)).toBe(true)
    const records = await readAll(log, spec.name)
    expect(new Set(texts(records)).size).toBe(20_000)
    expect(records).toHaveLength(20_000)
    const last = new Map<string, number>()
    const lastOffset = new Map<number, bigint>()
    for (const record of records) {
      const [call = '', i = ''] = (record.value?.toString() ?? '').split(':')
      const lane = `${call}/${record.partition}`
      expect(Number(i)).toBeGreaterThan(last.get(lane) ?? -1)
      last.set(lane, Number(i))
      expect(record.offset).toBeGreaterThan(lastOffset.get(record.partition) ?? -1n)
      lastOffset.set(record.partition, record.offset)
    }
  })

  test('one call may hold twenty thousand messages', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    const sent = Array.from({ length: 20_000 }, (_, i) => message(String(i), i % 2))
    await log.append(spec.name, sent)
    const records = await readAll(log, spec.name)
    for (const partition of [0, 1]) {
      const got = records.filter((record) => record.partition === partition).map((r) => Number(r.value?.toString()))
      expect(got).toEqual(Array.from({ length: 10_000 }, (_, i) => 2 * i + partition))
    }
  })

  test('closing waits for what was appended before it', async () => {
    const { log, openSecond } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    const second = await openSecond()
    const appends = Array.from({ length: 50 }, (_, i) => second.append(spec.name, [message(String(i))]))
    await second.close()
    for (const append of appends) await append
    expect(texts(await readAll(log, spec.name))).toEqual(Array.from({ length: 50 }, (_, i) => String(i)))
  })

  test('an empty call takes nothing and answers with nothing', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    expect((await log.append(spec.name, [])).size).toBe(0)
    expect(await log.ends(spec.name)).toEqual([{ partition: 0, start: 0n, end: 0n }])
  })

  test('a partition or a topic that is not there is refused, and nothing of the call is kept', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    await expect(log.append(spec.name, [message('a', 0), message('b', 2)])).rejects.toMatchObject({
      code: 'LOG_REJECTED',
    })
    await expect(log.append(freshTopic().name, [message('a', 0)])).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
    expect(await readAll(log, spec.name)).toEqual([])
  })

  test('a full queue refuses whole calls with LOG_BUSY, keeps the rest, and takes calls again when it has drained', async () => {
    const tiny = await adapter.open({ queueBytesMax: 64 * 1024 })
    try {
      const spec = freshTopic()
      await tiny.log.ensureTopics([spec])
      const filler = 'x'.repeat(1_000)
      const outcomes = await Promise.allSettled(
        Array.from({ length: 1_000 }, (_, i) =>
          tiny.log.append(spec.name, [message(`${i}:a:${filler}`), message(`${i}:b:${filler}`)]),
        ),
      )
      const kept: string[] = []
      let busy = 0
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.status === 'fulfilled') kept.push(`${i}:a`, `${i}:b`)
        else if (hasCode(outcome.reason, 'LOG_BUSY')) busy += 1
        else throw outcome.reason
      }
      expect(busy).toBeGreaterThan(0)
      expect(kept.length).toBeGreaterThan(0)
      await eventually(async () => void (await tiny.log.append(spec.name, [message('again')])))
      const records = await readAll(tiny.log, spec.name)
      expect(texts(records).map((text) => text?.split(':').slice(0, 2).join(':'))).toEqual([...kept, 'again'])
    } finally {
      await tiny.close()
    }
  })
}

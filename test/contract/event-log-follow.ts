import { expect, test } from 'vitest'
import type { LogRecord } from '../../services/shared/log/port.ts'
import { eventually, freshTopic, message, readAll, texts, type Setting } from './event-log-kit.ts'

export function followTests({ fixture }: Setting): void {
  test('following an empty topic has caught up at once', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    expect(await readAll(log, spec.name)).toEqual([])
  })

  test('caughtUp means that everything appended before has been applied, in order, once', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    const sent = Array.from({ length: 3_000 }, (_, i) => message(String(i), i % 2))
    await log.append(spec.name, sent)
    const records = await readAll(log, spec.name)
    expect(records).toHaveLength(3_000)
    for (const partition of [0, 1]) {
      const got = records.filter((record) => record.partition === partition)
      expect(texts(got)).toEqual(Array.from({ length: 1_500 }, (_, i) => String(2 * i + partition)))
    }
  })

  test('an append by any handle reaches a follower within half a second', async () => {
    const { log, openSecond } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    const second = await openSecond()
    const stop = new AbortController()
    const seen: LogRecord[] = []
    const following = log.follow(spec.name, (record) => void seen.push(record), stop.signal)
    try {
      await following.caughtUp
      const waits: number[] = []
      for (let i = 0; i < 9; i += 1) {
        await second.append(spec.name, [message(String(i))])
        const from = performance.now()
        await eventually(() => expect(seen).toHaveLength(i + 1))
        waits.push(performance.now() - from)
      }
      expect(texts(seen)).toEqual(Array.from({ length: 9 }, (_, i) => String(i)))
      // The middle one of nine: a machine that is busy elsewhere for a moment does not decide this.
      expect(waits.toSorted((a, b) => a - b)[4]).toBeLessThan(500)
    } finally {
      stop.abort()
      await following.done
      await second.close()
    }
  })

  test('nothing is applied once the signal has aborted', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('before')])
    const stop = new AbortController()
    const seen: LogRecord[] = []
    const following = log.follow(spec.name, (record) => void seen.push(record), stop.signal)
    await following.caughtUp
    stop.abort()
    await following.done
    await log.append(spec.name, [message('after')])
    expect(texts(await readAll(log, spec.name))).toEqual(['before', 'after']) // another follower got both meanwhile
    expect(texts(seen)).toEqual(['before'])
  })

  test('an aborted follower settles, caught up or not', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('one')])
    const stop = new AbortController()
    stop.abort()
    const following = log.follow(spec.name, () => {}, stop.signal)
    await following.done
    await following.caughtUp.catch(() => {})
  })

  test('a follower whose apply throws has broken off, with that error', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('one'), message('two')])
    const broken = new Error('cannot apply')
    let calls = 0
    const following = log.follow(
      spec.name,
      () => {
        calls += 1
        throw broken
      },
      new AbortController().signal,
    )
    following.caughtUp.catch(() => {})
    await expect(following.done).rejects.toBe(broken)
    expect(calls).toBe(1)
  })

  test('following from the end gives what is appended once it has caught up, by any handle, and nothing of before', async () => {
    const { log, openSecond } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('old'), message('old too', 1), message('old as well', 1)])
    const second = await openSecond()
    const stop = new AbortController()
    const seen: LogRecord[] = []
    const following = log.follow(spec.name, (record) => void seen.push(record), stop.signal, 'end')
    try {
      await following.caughtUp
      await log.append(spec.name, [message('a'), message('b', 1)])
      await second.append(spec.name, [message('c', 1), message('d', 1)])
      await eventually(() => expect(seen).toHaveLength(4))
      const of = (partition: number) => texts(seen.filter((record) => record.partition === partition))
      expect([of(0), of(1)]).toEqual([['a'], ['b', 'c', 'd']])
      // Offsets are the topic's own, so that one names a record however it was read.
      expect(seen.filter(({ partition }) => partition === 1).map(({ offset }) => offset)).toEqual(
        (await readAll(log, spec.name))
          .filter(({ partition }) => partition === 1)
          .slice(2)
          .map(({ offset }) => offset),
      )
    } finally {
      stop.abort()
      await following.done
      await second.close()
    }
  })

  test('what is appended while a topic is followed from its end comes whole, in order, once', async () => {
    const { log } = fixture()
    const spec = freshTopic()
    await log.ensureTopics([spec])
    await log.append(spec.name, [message('before')])
    const stop = new AbortController()
    const seen: LogRecord[] = []
    const following = log.follow(spec.name, (record) => void seen.push(record), stop.signal, 'end')
    await following.caughtUp
    const sent = Array.from({ length: 200 }, (_, i) => String(i))
    await Promise.all(sent.map((text) => log.append(spec.name, [message(text)])))
    await eventually(() => expect(seen).toHaveLength(200))
    stop.abort()
    await following.done
    const stored = texts(await readAll(log, spec.name))
    expect(texts(seen)).toEqual(stored.slice(1))
  })
}

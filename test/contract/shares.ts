import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { SHARES, topicSpecs } from '../../services/shared/log/topics.ts'
import type { EventLog } from '../../services/shared/log/port.ts'
import { runShares, type Share } from '../../services/shared/work/shares.ts'

const TOPICS = topicSpecs({ eventPartitions: 1, retentionMs: 3_600_000, retentionBytes: 1 << 30 })
const all = Array.from({ length: SHARES }, (_, i) => i)
const WITHIN = { timeout: 40_000 }

/** A process that holds shares; `held` is what it would act on. */
function member(log: EventLog) {
  const held = new Map<number, Share>()
  const stop = new AbortController()
  const work = async (share: Share): Promise<void> => {
    await share.confirm()
    held.set(share.index, share)
    await new Promise<void>((resolve) => share.signal.addEventListener('abort', () => resolve(), { once: true }))
    held.delete(share.index)
  }
  const done = runShares({ log, group: 'test.work', work, signal: stop.signal })
  return { held, stop, done }
}

/** Shares of work, on each log: the topic has no records, ever, and its partitions are held all the same. */
export function sharesContract(
  name: string,
  open: () => Promise<{ first: EventLog; second: EventLog; close(): Promise<void> }>,
): void {
  describe(`shares of work on ${name}`, () => {
    let logs: Awaited<ReturnType<typeof open>>
    beforeEach(async () => {
      logs = await open()
      await logs.first.ensureTopics(TOPICS)
    })
    afterEach(async () => logs.close())
    const sorted = (...maps: readonly ReadonlyMap<number, Share>[]): number[] =>
      maps.flatMap((map) => [...map.keys()]).toSorted((a, b) => a - b)

    test('every share is held, by one process, and goes to another one when that stops', async () => {
      const a = member(logs.first)
      await vi.waitFor(() => expect(sorted(a.held)).toEqual(all), WITHIN)
      const [lost] = [...a.held.values()]
      const b = member(logs.second)
      await vi.waitFor(() => {
        expect(sorted(a.held, b.held)).toEqual(all)
        expect(b.held.size).toBeGreaterThan(0)
      }, WITHIN)
      a.stop.abort()
      await a.done
      await vi.waitFor(() => expect(sorted(b.held)).toEqual(all), WITHIN)
      // A former holder is told no, whatever it believes.
      await expect(lost?.confirm()).rejects.toMatchObject({ code: 'LOG_FENCED' })
      b.stop.abort()
      await b.done
    }, 120_000)
  })
}

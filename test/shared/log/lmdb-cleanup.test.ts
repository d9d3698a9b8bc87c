import { expect, test } from 'vitest'
import { openLmdbLog } from '../../../services/shared/log/lmdb/open.ts'
import { openStore } from '../../../services/shared/log/lmdb/store.ts'
import { sweep } from '../../../services/shared/log/lmdb/sweep.ts'
import { readTopic, temporaryFolder } from './lmdb-process.ts'

const DAY_MS = 86_400_000
const message = (key: string, value: string | null) => ({
  partition: 0,
  key: Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
})

test('a deletion is kept for a day, then it goes too; the newest offset is never given twice', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  await log.ensureTopics([{ name: 'control', partitions: 1, compacted: true }])
  await log.append('control', [message('a', '1'), message('b', '1')])
  await log.append('control', [message('b', null)])
  const store = openStore(folder.path)

  await sweep(store, { nowMs: Date.now(), thorough: true })
  const kept = (await readTopic(log, 'control')).map(({ key, value }) => [key?.toString(), value?.toString()])
  expect(kept).toEqual([
    ['a', '1'],
    ['b', undefined],
  ])

  await log.append('control', [message('a', '2')])
  await sweep(store, { nowMs: Date.now() + 2 * DAY_MS, thorough: true })
  const later = (await readTopic(log, 'control')).map(({ key, offset }) => [key?.toString(), offset])
  expect(later).toEqual([['a', 3n]])
  expect(await log.ends('control')).toEqual([{ partition: 0, start: 3n, end: 4n }])

  await log.append('control', [message('a', null)])
  await sweep(store, { nowMs: Date.now() + 2 * DAY_MS, thorough: true })
  expect(await log.ends('control')).toEqual([{ partition: 0, start: 5n, end: 5n }])
  expect((await log.append('control', [message('a', '3')])).get(0)).toBe(5n)
  await store.release()
  await log.close()
})

test('the sweep that runs by itself compacts what has grown, and leaves a quiet topic alone', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  await log.ensureTopics([{ name: 'control', partitions: 1, compacted: true }])
  const store = openStore(folder.path)
  const regular = () => sweep(store, { nowMs: Date.now(), thorough: false })
  await log.append('control', [message('a', '1'), message('a', '2')])
  await regular()
  expect(await readTopic(log, 'control')).toHaveLength(2)
  for (let i = 0; i < 100; i += 1) await log.append('control', [message('big', 'x'.repeat(10_000))])
  await regular()
  expect(await readTopic(log, 'control')).toHaveLength(2)
  await store.release()
  await log.close()
})

test('a log at its size limit takes nothing more and says so, until retention has made room', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path, storageBytesMax: 1 << 20 })
  const spec = { name: 'events', partitions: 2, compacted: false }
  await log.ensureTopics([spec])
  const call = [0, 1].map((partition) => ({ partition, key: null, value: Buffer.alloc(50_000) }))
  const fill = async (): Promise<number> => {
    for (let calls = 0; ; calls += 1) {
      const failed: unknown = await log.append('events', call).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failed === undefined) continue
      expect(failed).toMatchObject({ code: 'LOG_UNAVAILABLE' })
      return calls
    }
  }
  expect(await fill()).toBeGreaterThan(5)
  await expect(log.ping()).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
  await log.ensureTopics([{ ...spec, retentionBytes: 200_000 }])
  await log.sweep()
  await log.ping()
  expect(await fill()).toBeGreaterThan(3)
  await log.close()
})

test('after everything has gone the log counts no bytes', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  await log.ensureTopics([
    { name: 'events', partitions: 3, compacted: false, retentionMs: 1 },
    { name: 'control', partitions: 1, compacted: true },
  ])
  for (let i = 1; i < 40; i += 1) {
    await log.append('events', [{ partition: i % 3, key: null, value: Buffer.alloc(i * 700) }])
    await log.append('control', [message('same', 'y'.repeat(i * 300)), message('other', null)])
  }
  await log.append('control', [message('same', null)])
  const store = openStore(folder.path)
  for (let i = 0; i < 2; i += 1) await sweep(store, { nowMs: Date.now() + 3 * DAY_MS, thorough: true })
  expect(await readTopic(log, 'events')).toEqual([])
  expect(await readTopic(log, 'control')).toEqual([])
  expect(store.counters.get(['stored-bytes'])).toBe(0)
  expect([...store.chunks.getKeys()]).toEqual([])
  await store.release()
  await log.close()
})

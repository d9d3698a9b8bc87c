import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openLmdbLog } from '../../../services/shared/log/lmdb/open.ts'
import { PartitionReader, type ReadAheadBudget } from '../../../services/shared/log/lmdb/reader.ts'
import { openStore } from '../../../services/shared/log/lmdb/store.ts'
import { readTopic, temporaryFolder } from './lmdb-process.ts'

const SPEC = { name: 'events', partitions: 2, compacted: false }
const message = (value: Buffer, partition = 0) => ({ partition, key: null, value })

test('closing the only handle waits for its appends, and what it held is there when the folder is opened again', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  const [info] = await log.ensureTopics([SPEC])
  const appends = Array.from({ length: 40 }, (_, i) => log.append('events', [message(Buffer.alloc(300_000, i))]))
  await log.close()
  expect((await Promise.all(appends)).map((last) => last.get(0))).toEqual(appends.map((_, i) => BigInt(i)))

  const again = await openLmdbLog({ folder: folder.path })
  expect((await again.describe('events')).epoch).toBe(info?.epoch)
  expect((await readTopic(again, 'events')).map(({ value }) => value?.[0])).toEqual(appends.map((_, i) => i))
  await again.close()
})

test('a closed log says so, and closing it again is harmless', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  const other = await openLmdbLog({ folder: folder.path })
  await log.ensureTopics([SPEC])
  await log.close()
  await log.close()
  await expect(log.append('events', [message(Buffer.from('x'))])).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
  await expect(log.ping()).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
  await other.append('events', [message(Buffer.from('y'))])
  await other.close()
})

test('a folder that cannot be made is LOG_UNAVAILABLE', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'file')
  await writeFile(file, '')
  await expect(openLmdbLog({ folder: join(file, 'log') })).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
})

test('readers keep no more between two reads than their budget allows, and still read everything', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  const [info] = await log.ensureTopics([SPEC])
  const values = Array.from({ length: 40 }, (_, i) => Buffer.alloc(10_000, i))
  await log.append(
    'events',
    values.flatMap((value) => [message(value, 0), message(value, 1)]),
  )
  const store = openStore(folder.path)
  for (const bytesMax of [0, 450_000, 1 << 20]) {
    const budget: ReadAheadBudget = { bytesMax, bytes: 0 }
    const readers = [0, 1].map(
      (partition) => new PartitionReader(store, { epoch: info?.epoch ?? '', partition, position: 0 }, budget),
    )
    const seen: (number | undefined)[][] = [[], []]
    let highest = 0
    while (readers.some((reader) => reader.hasMore)) {
      for (const [i, reader] of readers.entries()) {
        const records = reader.read({ maxRecords: 3, maxBytes: 1 << 20 })
        seen[i]?.push(...records.map(({ value }) => value?.[0]))
        highest = Math.max(highest, budget.bytes)
      }
    }
    const all = values.map((value) => value[0])
    expect(seen).toEqual([all, all])
    expect(highest).toBeLessThanOrEqual(bytesMax)
    expect(highest > 0).toBe(bytesMax > 0)
    expect(budget.bytes).toBe(0)
  }
  await store.release()
  await log.close()
})

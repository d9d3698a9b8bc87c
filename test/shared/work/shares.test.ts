import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openLmdbLog, type LmdbLog } from '../../../services/shared/log/lmdb/open.ts'
import { SHARES, topicSpecs } from '../../../services/shared/log/topics.ts'
import { AppError } from '../../../services/shared/errors.ts'
import { runShares, shareOf } from '../../../services/shared/work/shares.ts'

const TOPICS = topicSpecs({ eventPartitions: 1, retentionMs: 3_600_000, retentionBytes: 1 << 30 })

async function withLogs(count: number, body: (logs: readonly LmdbLog[]) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-shares-'))
  const logs: LmdbLog[] = []
  try {
    for (let i = 0; i < count; i++) {
      logs.push(await openLmdbLog({ folder, sessionTimeoutMs: 2_000, handoverTimeoutMs: 1_000 }))
    }
    await logs[0]?.ensureTopics(TOPICS)
    await body(logs)
  } finally {
    for (const log of logs) await log.close()
    await rm(folder, { recursive: true })
  }
}

test('work that meets a log that is away is done again; work that fails for its own reason ends everything', async () => {
  await withLogs(1, async ([log]) => {
    if (log === undefined) throw new Error('a log')
    let attempts = 0
    const work = async (): Promise<void> => {
      attempts++
      if (attempts <= SHARES) throw new AppError('LOG_UNAVAILABLE', 'away')
      throw new Error('a bug')
    }
    const done = runShares({ log, group: 'test.failing', work, signal: new AbortController().signal })
    await expect(done).rejects.toThrow('a bug')
    expect(attempts).toBeGreaterThan(SHARES)
  })
})

test('a share that was lost before word of it came ends its own work, and nothing else', async () => {
  await withLogs(1, async ([log]) => {
    if (log === undefined) throw new Error('a log')
    const stop = new AbortController()
    let lost = 0
    const work = async (): Promise<void> => {
      lost++
      if (lost === SHARES) stop.abort()
      throw new AppError('LOG_FENCED', 'somebody else has it')
    }
    await runShares({ log, group: 'test.lost', work, signal: stop.signal })
    expect(lost).toBeGreaterThanOrEqual(SHARES)
  })
})

test('a name’s share is the same for ever', () => {
  expect(['a', 'project/query', ''].map(shareOf)).toMatchInlineSnapshot(`
    [
      3,
      10,
      11,
    ]
  `)
})

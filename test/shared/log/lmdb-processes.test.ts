import { expect, test, vi } from 'vitest'
import { openLmdbLog, type LmdbLog } from '../../../services/shared/log/lmdb/open.ts'
import type { LogRecord, PartitionClaim } from '../../../services/shared/log/port.ts'
import { endChild, readTopic, startChild, temporaryFolder, type Child } from './lmdb-process.ts'

const TOPIC = 'events'
const GROUP = 'loader'
const PATIENCE = { timeout: 40_000, interval: 20 }

const makeTopic = (log: LmdbLog, partitions: number) =>
  log.ensureTopics([{ name: TOPIC, partitions, compacted: false }])

const parse = (record: LogRecord) => {
  const [label = '', count = ''] = (record.value?.toString() ?? '').split(':')
  return { label, count: Number(count) }
}

/** Each partition's offsets have no gap, and each writer's values in it count up from 0 without one. */
function expectWhole(records: readonly LogRecord[]): void {
  const offsets = new Map<number, bigint>()
  const counts = new Map<string, number>()
  for (const record of records) {
    const { label, count } = parse(record)
    expect(record.offset).toBe(offsets.get(record.partition) ?? 0n)
    offsets.set(record.partition, record.offset + 1n)
    const lane = `${record.partition}/${label}`
    expect(count).toBe(counts.get(lane) ?? 0)
    counts.set(lane, count + 1)
  }
}

/** What a child said was confirmed is there, at the offset it was told. Returns how many calls that were. */
function expectConfirmed(records: readonly LogRecord[], lines: readonly string[], label: string): number {
  const at = new Map(records.map((record) => [`${record.partition}@${record.offset}`, parse(record)]))
  let confirmed = 0
  for (const line of lines) {
    const match = /^(\d+) (\d+) (\d+)$/.exec(line)
    if (match === null) continue
    expect(at.get(`${match[1]}@${match[3]}`)).toEqual({ label, count: Number(match[2]) })
    confirmed += 1
  }
  return confirmed
}

const calls = (child: Child): number => child.lines.filter((line) => /^\d/.test(line)).length

test('what was confirmed survives SIGKILL, in order and without gaps, round after round', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  await makeTopic(log, 4)
  for (let round = 0; round < 6; round += 1) {
    const label = `round-${round}`
    const child = startChild(['append', folder.path, TOPIC, label])
    await vi.waitFor(() => expect(calls(child)).toBeGreaterThan(20 + 60 * round), PATIENCE)
    await endChild(child, 'SIGKILL')
    const records = await readTopic(log, TOPIC)
    expectWhole(records)
    expect(expectConfirmed(records, child.lines, label)).toBeGreaterThan(20)
    await log.append(TOPIC, [{ partition: 0, key: null, value: Buffer.from(`between-${round}:0`) }])
  }
  await log.close()
  const again = await openLmdbLog({ folder: folder.path })
  expectWhole(await readTopic(again, TOPIC))
  await again.close()
})

test('several processes append at once: every message is there once, each writer’s in order, offsets without gaps', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  await makeTopic(log, 3)
  const seen: LogRecord[] = []
  const stop = new AbortController()
  const following = log.follow(TOPIC, (record) => seen.push(record), stop.signal)
  await following.caughtUp
  const children = ['a', 'b'].map((label) => startChild(['append', folder.path, TOPIC, label, '150']))
  for (let i = 0; i < 300; i += 1) {
    await log.append(TOPIC, [{ partition: i % 3, key: null, value: Buffer.from(`here:${Math.floor(i / 3)}`) }])
  }
  for (const child of children) await child.exited
  const total = 300 + 2 * 3 * 150 * 5
  await vi.waitFor(() => expect(seen).toHaveLength(total), PATIENCE)
  stop.abort()
  await following.done
  const records = await readTopic(log, TOPIC)
  expect(records).toHaveLength(total)
  for (const [i, label] of ['a', 'b'].entries()) {
    expect(expectConfirmed(records, children[i]?.lines ?? [], label)).toBe(450)
  }
  for (const partition of [0, 1, 2]) {
    expectWhole(records.filter((record) => record.partition === partition))
    expectWhole(seen.filter((record) => record.partition === partition))
  }
  await log.close()
})

/** Joins the group in this process; the claims it was given. */
function joinHere(log: LmdbLog): { readonly claims: readonly PartitionClaim[]; leave(): Promise<void> } {
  const claims: PartitionClaim[] = []
  const stop = new AbortController()
  const done = log.consume({ topic: TOPIC, group: GROUP, signal: stop.signal }, async (claim) => {
    claims.push(claim)
    await new Promise<void>((resolve) => {
      claim.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  })
  return {
    claims,
    async leave() {
      stop.abort()
      await done
    },
  }
}

test('a frozen owner loses its partition, and is refused when it thaws', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path, sessionTimeoutMs: 1_500 })
  await makeTopic(log, 1)
  const child = startChild(['hold', folder.path, TOPIC, GROUP, '1500'])
  await vi.waitFor(() => expect(child.lines).toContain('held 0'), PATIENCE)
  child.process.stdin.write('commit 3\n')
  await vi.waitFor(() => expect(child.lines).toContain('committed'), PATIENCE)

  const here = joinHere(log)
  // Frozen in the very moment of a write it would hold LMDB's lock, and everybody would wait: thaw it and try again.
  for (let attempt = 0; here.claims.length === 0; attempt += 1) {
    expect(attempt).toBeLessThan(5)
    child.process.kill('SIGSTOP')
    await vi
      .waitFor(() => expect(here.claims).toHaveLength(1), { ...PATIENCE, timeout: 8_000 })
      .catch(() => {
        child.process.kill('SIGCONT')
      })
  }
  expect(here.claims[0]?.committed).toEqual({ offset: 3n, metadata: 'from the child' })
  await here.claims[0]?.commit(7n, 'the new owner')
  child.process.kill('SIGCONT')
  child.process.stdin.write('commit 4\n')
  await vi.waitFor(() => expect(child.lines).toContain('LOG_FENCED'), PATIENCE)
  expect((await log.committed(TOPIC, GROUP)).get(0)).toEqual({ offset: 7n, metadata: 'the new owner' })

  child.process.stdin.end()
  await endChild(child, 'SIGTERM')
  await here.leave()
  await log.close()
})

test('the partition of a killed owner is taken over once its session has run out', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path, sessionTimeoutMs: 1_500 })
  await makeTopic(log, 1)
  const child = startChild(['hold', folder.path, TOPIC, GROUP, '1500'])
  await vi.waitFor(() => expect(child.lines).toContain('held 0'), PATIENCE)
  await endChild(child, 'SIGKILL')
  const here = joinHere(log)
  await vi.waitFor(() => expect(here.claims).toHaveLength(1), PATIENCE)
  await here.leave()
  await log.close()
})

test('an owner that leaves hands over without waiting for its session to run out', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path, sessionTimeoutMs: 3_600_000 })
  await makeTopic(log, 1)
  const child = startChild(['hold', folder.path, TOPIC, GROUP, '3600000'])
  await vi.waitFor(() => expect(child.lines).toContain('held 0'), PATIENCE)
  const here = joinHere(log)
  child.process.stdin.end()
  await endChild(child, 'SIGTERM')
  expect(child.lines).toContain('closed')
  await vi.waitFor(() => expect(here.claims).toHaveLength(1), PATIENCE)
  await here.leave()
  await log.close()
})

test('a disk that takes no more is LOG_UNAVAILABLE, ping says so, and nothing confirmed is lost', async () => {
  await using folder = await temporaryFolder()
  const log = await openLmdbLog({ folder: folder.path })
  await makeTopic(log, 2)
  await log.close()
  const child = startChild(['append', folder.path, TOPIC, 'fill'], { fileBytesMax: 4 << 20 })
  await child.exited
  expect(child.lines).toContain('failed LOG_UNAVAILABLE')
  expect(child.lines).toContain('ping LOG_UNAVAILABLE')
  expect(child.lines).toContain('left')
  expect(child.lines).toContain('closed')

  const again = await openLmdbLog({ folder: folder.path })
  const records = await readTopic(again, TOPIC)
  expectWhole(records)
  expect(expectConfirmed(records, child.lines, 'fill')).toBeGreaterThan(10)
  await again.append(TOPIC, [{ partition: 0, key: null, value: Buffer.from('after:0') }])
  await again.ping()
  await again.close()
})

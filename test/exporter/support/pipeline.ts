import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import type { LogState } from '../../../services/exporter/audit/audit.ts'
import { EXPORTER_DEFAULTS, type ExporterSettings } from '../../../services/exporter/settings.ts'
import { EXPORTER_GROUP, runExporter } from '../../../services/exporter/worker.ts'
import { LOADER_DEFAULTS } from '../../../services/loader/settings.ts'
import { LOADER_GROUP, runLoader } from '../../../services/loader/worker.ts'
import { openFolderBucket } from '../../../services/shared/bucket/folder/open.ts'
import type { Bucket } from '../../../services/shared/bucket/port.ts'
import { type KnownDeletions, NO_DELETIONS } from '../../../services/shared/deletions/domain/erase.ts'
import { encodeEvent } from '../../../services/shared/events/codec.ts'
import type { LoggedEvent } from '../../../services/shared/events/event.ts'
import { openLmdbLog } from '../../../services/shared/log/lmdb/open.ts'
import type { EventLog } from '../../../services/shared/log/port.ts'
import { EVENTS_TOPIC, topicSpecs } from '../../../services/shared/log/topics.ts'
import type { Warehouse } from '../../../services/shared/warehouse/port.ts'

export const never = new AbortController().signal
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }
const PARTITIONS = 2

/** A log and an archive of its own, a warehouse that is shared, and both workers to be run between them. */
export interface Pipeline {
  readonly log: EventLog
  readonly bucket: Bucket
  send(partition: number, values: readonly (LoggedEvent | Buffer)[]): Promise<void>
  /** Until everything in the log is in the archive. */
  exportAll(settings?: Partial<ExporterSettings>): Promise<void>
  /** Until everything in the log is in the warehouse. */
  loadAll(deletions?: KnownDeletions): Promise<void>
  logState(): Promise<LogState>
  keys(prefix?: string): Promise<string[]>
  close(): Promise<void>
}

export async function openPipeline(base: string, warehouse: Warehouse): Promise<Pipeline> {
  await emptied(warehouse) // another log's repeat keys would be known

  const folder = await mkdtemp(join(base, 'p-'))
  const log = await openLmdbLog({ folder: join(folder, 'log') })
  await log.ensureTopics(topicSpecs({ eventPartitions: PARTITIONS, retentionMs: 1e12, retentionBytes: 1e12 }))
  const bucket = await openFolderBucket(join(folder, 'archive'))
  const until = async (group: string, run: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    const stop = new AbortController()
    const running = run(stop.signal)
    const deadline = performance.now() + 30_000
    for (;;) {
      const committed = await log.committed(EVENTS_TOPIC, group)
      const isDone = (await log.ends(EVENTS_TOPIC)).every(({ partition, end }) => {
        const at = committed.get(partition)
        return end === 0n || (at?.offset === end && at.metadata === '')
      })
      if (isDone) break
      if (performance.now() > deadline) throw new Error(`${group} did not come to its end`)
      await Promise.race([delay(5), running])
    }
    stop.abort()
    await running
  }
  return {
    log,
    bucket,
    async send(partition, values) {
      const bytes = values.map((value) => (Buffer.isBuffer(value) ? value : encodeEvent(value)))
      await log.append(
        EVENTS_TOPIC,
        bytes.map((value) => ({ partition, key: null, value })),
      )
    },
    exportAll: async (more = {}) => {
      const settings = { ...EXPORTER_DEFAULTS, rangeAgeMs: 20, ...more }
      const deps = { log, bucket, folder: join(folder, 'exporter'), settings, logger: silent, now: Date.now }
      await until(EXPORTER_GROUP, (signal) => runExporter({ ...deps, registry: new Registry() }, signal))
    },
    loadAll: async (deletions = NO_DELETIONS) => {
      const settings = { ...LOADER_DEFAULTS, batchAgeMs: 20 }
      const deps = { deletions, log, warehouse, settings, logger: silent }
      await until(LOADER_GROUP, (signal) => runLoader({ ...deps, registry: new Registry() }, signal))
    },
    async logState() {
      const { epoch } = await log.describe(EVENTS_TOPIC)
      const ends = await log.ends(EVENTS_TOPIC)
      const [exported, loaded] = [
        await log.committed(EVENTS_TOPIC, EXPORTER_GROUP),
        await log.committed(EVENTS_TOPIC, LOADER_GROUP),
      ]
      return {
        epoch,
        partitions: ends.map(({ partition }) => partition),
        start: (partition) => ends.find((one) => one.partition === partition)?.start ?? 0n,
        exported: (partition) => exported.get(partition)?.offset,
        loaded: (partition) => loaded.get(partition)?.offset,
      }
    },
    async keys(prefix = '') {
      const found: string[] = []
      for await (const { key } of bucket.list(prefix, { signal: never })) found.push(key)
      return found
    },
    async close() {
      await log.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export const T0 = Date.now() - 3 * 86_400_000

export const event = (body: unknown, more: Partial<LoggedEvent> = {}): LoggedEvent => ({
  project: 'p',
  collection: 'visits',
  id: Buffer.from(randomUUID().replaceAll('-', ''), 'hex'),
  timestampMs: T0,
  createdAtMs: T0,
  repeatKey: null,
  properties: Buffer.from(JSON.stringify(body)),
  ...more,
})

/** Events of several collections, hours and months, some with repeat keys, a few of them repeats, and one unusable record. */
export const mixedEvents = (partition: number, count: number): readonly (LoggedEvent | Buffer)[] => [
  ...Array.from({ length: count }, (_, i) =>
    event(
      { i, text: 'x'.repeat(i % 50), nested: { even: i % 2 === 0 } },
      {
        project: i % 5 === 0 ? 'q' : 'p',
        collection: `c${i % 3}`,
        timestampMs: T0 - (i % 4) * 31 * 86_400_000,
        createdAtMs: T0 + (i % 3) * 3_600_000,
        repeatKey: i % 4 === 0 ? Buffer.alloc(16, 100 * partition + (i % 40)) : null,
      },
    ),
  ),
  Buffer.from('no event'),
]

export async function ask(warehouse: Warehouse, sql: string): Promise<readonly (readonly unknown[])[]> {
  const limits = { executionS: 30, rowsToRead: 0, memoryBytes: 1e9, resultRows: 1e6, resultBytes: 1e9 }
  return (await warehouse.read({ sql, params: {}, limits, queryId: randomUUID(), signal: never })).rows
}

export async function emptied(warehouse: Warehouse): Promise<void> {
  for (const table of ['events', 'event_repeats', 'replays']) await warehouse.command(`TRUNCATE TABLE ${table}`)
}

/** Everything that the warehouse has of events and of their repeat keys, in one order. */
export async function storedRows(warehouse: Warehouse): Promise<readonly unknown[]> {
  const order = 'ORDER BY log_epoch, log_partition, log_offset, project, collection'
  return [
    ...(await ask(warehouse, `SELECT * FROM events ${order}`)),
    ...(await ask(warehouse, `SELECT hex(repeat_key), * EXCEPT (repeat_key) FROM event_repeats ${order}`)),
  ]
}

import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyKind, KeyOptions, Permission, ProjectKey } from '../../services/shared/registry/model.ts'
import { type DeletionsOf, type Grant, grantOf } from '../../services/shared/registry/grant.ts'
import { openChdbWarehouse } from '../../services/shared/warehouse/chdb.ts'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { ReadLimits, Warehouse } from '../../services/shared/warehouse/port.ts'
import { RowBinaryWriter } from '../../services/shared/warehouse/row-binary.ts'

export const never = new AbortController().signal

export const WIDE_LIMITS: ReadLimits = {
  executionS: 60,
  rowsToRead: 100_000_000,
  memoryBytes: 2_000_000_000,
  resultRows: 1_000_000,
  resultBytes: 150_000_000,
}

/** An event as it lies in the warehouse. */
export interface StoredEvent {
  readonly project: string
  readonly collection: string
  readonly timestampMs: number
  readonly createdAtMs: number
  /** 32 hex characters. */
  readonly id: string
  /** The event's JSON text, without the three `keen` fields that have columns. */
  readonly body: string
  /** Where it stood in the log's partition 0. Default: 0. */
  readonly offset?: number
}

/** A warehouse in a folder of its own with the tables of this version; `close` removes it. */
export async function openTestWarehouse(): Promise<{
  readonly warehouse: Warehouse
  readonly close: () => Promise<void>
}> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-query-'))
  const warehouse = await openChdbWarehouse({ folder, readSessions: 2 })
  await migrate(warehouse, { signal: never })
  return {
    warehouse,
    close: async () => {
      await warehouse.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const COLUMNS = [
  'project',
  'collection',
  'timestamp',
  'created_at',
  'id',
  'properties',
  'body',
  'log_epoch',
  'log_partition',
  'log_offset',
]

export async function store(warehouse: Warehouse, events: readonly StoredEvent[]): Promise<void> {
  const writer = new RowBinaryWriter(events.length * 300)
  for (const event of events) {
    writer.string(event.project)
    writer.string(event.collection)
    writer.millis(event.timestampMs)
    writer.millis(event.createdAtMs)
    writer.uuid(Buffer.from(event.id, 'hex'))
    writer.string(event.body)
    writer.string(event.body)
    writer.string('epoch')
    writer.uint32(0)
    writer.uint64(BigInt(event.offset ?? 0))
  }
  await warehouse.insert({
    table: 'events',
    columns: COLUMNS,
    rowBinary: writer.finish(),
    rowCount: events.length,
    token: randomUUID(),
    deadlineMs: performance.now() + 60_000,
    signal: never,
  })
}

export const hexId = (n: number): string => `0192f0c0a1b27c3d8e4f${n.toString(16).padStart(12, '0')}`

const NO_OPTIONS: KeyOptions = {
  writes: null,
  queries: null,
  saved_queries: null,
  cached_queries: null,
  datasets: null,
}

/** A grant as the registry would make it. With filters it is an access key's. */
export function grantFor(
  projectId: string,
  filters?: readonly unknown[],
  kind: KeyKind = 'master',
  deletionsOf: DeletionsOf = () => [],
): Grant {
  const permitted: readonly Permission[] = ['queries']
  const key: ProjectKey = {
    id: 'key-under-test',
    projectId,
    kind: filters === undefined ? kind : 'access',
    secret: 'F'.repeat(64),
    name: 'key',
    isActive: true,
    permitted,
    options: filters === undefined ? NO_OPTIONS : { ...NO_OPTIONS, queries: { filters } },
    createdAtMs: 0,
  }
  return grantOf(key, deletionsOf)
}

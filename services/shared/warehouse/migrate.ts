import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { AppError } from '../errors.ts'
import { type Migration, readMigrations } from './migrations.ts'
import type { ReadLimits, Warehouse } from './port.ts'

const FOLDER = join(import.meta.dirname, '../../../schemas/clickhouse')

const RECORD = `CREATE TABLE IF NOT EXISTS schema_migrations
(version UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC'))
ENGINE = ReplacingMergeTree ORDER BY version`

/** What is answered or built upon once it is inserted: a run that is kept must not have lost the cells it names. */
const SYNCED = ['events', 'event_repeats', 'event_properties', 'cached_query_runs', 'dataset_cells', 'dataset_runs']

const LIMITS: ReadLimits = {
  executionS: 30,
  rowsToRead: 1_000_000,
  memoryBytes: 256 * 1024 * 1024,
  resultRows: 100_000,
  resultBytes: 64 * 1024 * 1024,
}

export interface MigrateOptions {
  readonly signal: AbortSignal
  /** Another folder of numbered files. Default: `schemas/clickhouse`. */
  readonly folder?: string
  /**
   * Forces every insert to the disk before it is answered, so that it survives a power cut. For one machine; a cluster
   * has its replicas for that. Default false.
   */
  readonly syncInserts?: boolean
}

async function appliedVersions(warehouse: Warehouse, signal: AbortSignal): Promise<Map<number, string>> {
  const { rows } = await warehouse.read({
    sql: 'SELECT version, any(checksum) FROM schema_migrations GROUP BY version ORDER BY version',
    params: {},
    limits: LIMITS,
    queryId: randomUUID(),
    signal,
  })
  return new Map(rows.map(([version, checksum]) => [Number(version), String(checksum)]))
}

function check(migrations: readonly Migration[], applied: ReadonlyMap<number, string>): void {
  const known = new Map(migrations.map((migration) => [migration.version, migration]))
  for (const [version, checksum] of applied) {
    const migration = known.get(version)
    if (migration === undefined) {
      throw new AppError('CONFIG_INVALID', `The warehouse has migration ${version}, which this version does not know.`)
    }
    if (migration.checksum !== checksum) {
      throw new AppError('CONFIG_INVALID', `Migration ${version} (${migration.name}) was edited after it was applied.`)
    }
  }
}

/**
 * Brings the warehouse's tables to this version; resolves with the versions that were applied. Safe to run again, and
 * from several processes at once: every statement of a migration can be repeated, and so can its record.
 * Rejects with CONFIG_INVALID, having changed nothing, when the warehouse is newer or an applied file was edited.
 */
export async function migrate(warehouse: Warehouse, options: MigrateOptions): Promise<readonly number[]> {
  const migrations = await readMigrations(options.folder ?? FOLDER)
  await warehouse.command(RECORD)
  const applied = await appliedVersions(warehouse, options.signal)
  check(migrations, applied)
  const todo = migrations.filter(({ version }) => !applied.has(version))
  for (const { version, name, checksum, statements } of todo) {
    options.signal.throwIfAborted()
    for (const statement of statements) await warehouse.command(statement)
    await warehouse.command(
      'INSERT INTO schema_migrations SELECT {version:UInt32}, {name:String}, {checksum:String}, now64(3)',
      { version, name, checksum },
    )
  }
  if (options.syncInserts !== undefined) {
    const sync = options.syncInserts ? 1 : 0
    for (const table of SYNCED) {
      await warehouse.command(
        `ALTER TABLE ${table} MODIFY SETTING fsync_after_insert = ${sync}, fsync_part_directory = ${sync}`,
      )
    }
  }
  return todo.map(({ version }) => version)
}

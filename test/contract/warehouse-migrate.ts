import { randomUUID } from 'node:crypto'
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { migrate } from '../../services/shared/warehouse/migrate.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'

const OURS = join(import.meta.dirname, '../../schemas/clickhouse')
const signal = new AbortController().signal
/** In the order of their numbers, which their names begin with. */
const MIGRATIONS = readdirSync(OURS)
  .toSorted()
  .map((file): [number, string] => [Number(file.slice(0, 4)), file.slice(5, -'.sql'.length)])

/** Migrations on one connection. The warehouse's own tables are dropped: use one that holds nothing else. */
export function migrateContract(name: string, open: () => Promise<Warehouse>): void {
  describe(name, () => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-migrations-'))
    let warehouse: Warehouse
    beforeEach(async () => {
      warehouse ??= await open()
      for (const table of [
        'event_properties_of_events',
        'event_properties',
        'schema_migrations',
        'events',
        'event_repeats',
        'extra',
      ]) {
        await warehouse.command(`DROP TABLE IF EXISTS ${table} SYNC`)
      }
      rmSync(folder, { recursive: true, force: true })
      cpSync(OURS, folder, { recursive: true })
    })
    afterAll(async () => {
      await warehouse.close()
      rmSync(folder, { recursive: true, force: true })
    })

    const ask = async (sql: string) => {
      const limits = { executionS: 30, rowsToRead: 0, memoryBytes: 1e9, resultRows: 1e6, resultBytes: 1e9 }
      return (await warehouse.read({ sql, params: {}, limits, queryId: randomUUID(), signal })).rows
    }

    test('the first run applies every file in order, the second none', async () => {
      const versions = MIGRATIONS.map(([version]) => version)
      expect(await migrate(warehouse, { signal })).toEqual(versions)
      expect(await migrate(warehouse, { signal })).toEqual([])
      expect(await ask('SELECT version, name FROM schema_migrations FINAL ORDER BY version')).toEqual(MIGRATIONS)
    })

    test('several runs at the same time leave one schema', async () => {
      await Promise.all([1, 2, 3].map(() => migrate(warehouse, { signal })))
      expect(await ask('SELECT count() FROM schema_migrations FINAL')).toEqual([[MIGRATIONS.length]])
      expect(await migrate(warehouse, { signal })).toEqual([])
    })

    test('a new file is applied alone, statement by statement', async () => {
      await migrate(warehouse, { signal, folder })
      const sql = '-- why; not\nCREATE TABLE IF NOT EXISTS extra (a String) ENGINE = Memory;\n\nSELECT 1;\n-- the end\n'
      writeFileSync(join(folder, '0003_extra.sql'), sql)
      expect(await migrate(warehouse, { signal, folder })).toEqual([3])
      expect(await ask('SELECT count() FROM extra')).toEqual([[0]])
    })

    test('a file edited after it was applied is refused by number and name, and nothing changes', async () => {
      await migrate(warehouse, { signal, folder })
      writeFileSync(join(folder, '0002_event_repeats.sql'), 'DROP TABLE events;\n')
      const edited = migrate(warehouse, { signal, folder })
      await expect(edited).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('2') })
      expect(await ask('SELECT count() FROM events')).toEqual([[0]])
    })

    test('a warehouse newer than this version is refused', async () => {
      writeFileSync(join(folder, '0009_future.sql'), 'SELECT 1;\n')
      await migrate(warehouse, { signal, folder })
      await expect(migrate(warehouse, { signal })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    })

    test('inserts are forced to the disk when that is asked for', async () => {
      await migrate(warehouse, { signal, syncInserts: true })
      const [[engine] = []] = await ask("SELECT create_table_query FROM system.tables WHERE name = 'events'")
      expect(engine).toMatch(/fsync_after_insert = (1|true)/)
      await migrate(warehouse, { signal, syncInserts: true })
    })
  })
}

import { Command } from 'commander'
import { loadConfig } from '../shared/config.ts'
import { lockDataDir } from '../shared/config/data-lock.ts'
import { makeDataDir } from '../shared/config/organization.ts'
import { openWarehouse } from './open/warehouse.ts'

const PATIENCE_MS = 120_000

export function migrateCommand(): Command {
  return new Command('migrate')
    .description("bring the warehouse's tables up to date; safe to repeat, and from several processes")
    .addHelpText('after', '\nExample:\n  $ CLICKHOUSE_URL=http://clickhouse:8123 tributary migrate')
    .action(async () => {
      const config = loadConfig(process.env, process.cwd())
      const { migrate } = await import('../shared/warehouse/migrate.ts')
      await using open = new AsyncDisposableStack()
      if (config.warehouse.kind === 'chdb') {
        await makeDataDir(config.dataDir)
        open.defer(await lockDataDir(config.dataDir))
      }
      const signal = AbortSignal.timeout(PATIENCE_MS)
      const warehouse = open.adopt(await openWarehouse(config, signal), (warehouse) => warehouse.close())
      const applied = await migrate(warehouse, { signal, syncInserts: warehouse.kind === 'chdb' })
      const what = applied.length === 0 ? 'The tables were up to date.' : `Applied: ${applied.join(', ')}.`
      process.stdout.write(`${what}\n`)
    })
}

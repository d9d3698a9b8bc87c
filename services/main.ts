import './commands/threads.ts'
import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { settingsAsHelp } from './shared/config/document.ts'
import { auditCommand } from './commands/audit.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { explain } from './commands/explain.ts'
import { importCommand } from './commands/import.ts'
import { migrateCommand } from './commands/migrate.ts'
import { replayCommand } from './commands/replay.ts'
import { serveCommands } from './commands/serve.ts'
import { topicsCommand } from './commands/topics.ts'

/** The command line. What a command needs to run is loaded when it runs, so that `--help` answers at once. */
function commandLine(): Command {
  const program = new Command('tributary')
    .description('Event collection, streaming and analytics: HTTP in, a log, ClickHouse, and queries under keys.')
    .version(packageJson.version)
    .showHelpAfterError('(`--help` says more)')
    .configureHelp({ sortSubcommands: false })
  for (const command of serveCommands()) program.addCommand(command)
  for (const command of [
    migrateCommand(),
    topicsCommand(),
    doctorCommand(),
    auditCommand(),
    replayCommand(),
    importCommand(),
    demoCommand(),
  ]) {
    program.addCommand(command)
  }
  program.addHelpText('after', () => `\n${settingsAsHelp(process.stdout.columns ?? 100)}`)
  program.addHelpText(
    'after',
    `
Examples:
  $ tributary all                       everything in one process, in the folder data/
  $ tributary doctor                    what is wrong here, and what to do about it
  $ tributary import events.jsonl --project ID --key WRITE_KEY --collection purchases`,
  )
  return program
}

try {
  await commandLine().parseAsync(process.argv)
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exitCode = 1
}

import './commands/threads.ts'
import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { settingsAsHelp } from './shared/config/document.ts'
import { AppError } from './shared/errors.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { importCommand } from './commands/import.ts'
import { migrateCommand } from './commands/migrate.ts'
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
  for (const command of [migrateCommand(), topicsCommand(), doctorCommand(), importCommand(), demoCommand()]) {
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

/** What a server that is away, or refuses us, said; its first line alone. */
function whyAway({ code, cause }: AppError): string {
  if (!(cause instanceof Error) || (code !== 'LOG_UNAVAILABLE' && code !== 'WAREHOUSE_UNAVAILABLE')) return ''
  const deepest = cause.cause instanceof Error ? cause.cause : cause
  return ` (${deepest.message.split('\n', 1)[0]})`
}

/** A sentence for what the user can put right; the stack for what only we can. */
function explain(error: unknown): string {
  if (error instanceof AppError) return `${error.message}${whyAway(error)}`
  const { code, message, stack } = error as NodeJS.ErrnoException
  switch (code ?? '') {
    case 'ENOSPC':
      return 'The disk is full. Make room, or set TRIBUTARY_DATA_DIR to a folder on another disk.'
    case 'EACCES':
    case 'EROFS':
      return `A file or folder cannot be written: ${message}. Check its owner, or set TRIBUTARY_DATA_DIR to another folder.`
    default:
      return stack ?? String(error)
  }
}

try {
  await commandLine().parseAsync(process.argv)
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exitCode = 1
}

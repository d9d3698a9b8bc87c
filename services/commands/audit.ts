import { Command } from 'commander'
import { scopeOptions } from './archive/scope.ts'
import type { AuditOptions } from './archive/run-audit.ts'
import { explain } from './explain.ts'

const COULD_NOT_LOOK = 2

export function auditCommand(): Command {
  const command = new Command('audit').description(
    'prove that the archive is whole: every range, every object, every event, and the warehouse against it',
  )
  for (const option of scopeOptions()) command.addOption(option)
  return command
    .option('--quick', 'compare sizes and counts by listing; read no object that looks right', false)
    .option('--no-warehouse', 'look at the archive alone')
    .option('--json', 'print one JSON document instead of a table', false)
    .addHelpText(
      'after',
      `
It changes nothing. With the embedded warehouse it needs the data folder for itself: stop the server, or pass --no-warehouse.

Exit codes: 0 all is well, 1 something is off, 2 it could not look.

Examples:
  $ tributary audit
  $ tributary audit --quick --no-warehouse
  $ TRIBUTARY_ARCHIVE=s3://events/archive tributary audit --from 2026-01-01 --to 2026-02-01 --json`,
    )
    .action(async (options: AuditOptions) => {
      try {
        const { runAudit } = await import('./archive/run-audit.ts')
        process.exitCode = await runAudit(options)
      } catch (error) {
        process.stderr.write(`${explain(error)}\n`)
        process.exitCode = COULD_NOT_LOOK
      }
    })
}

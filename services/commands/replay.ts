import { Command, InvalidArgumentError } from 'commander'
import type { ReplayOptions } from './archive/run-replay.ts'
import { scopeOptions } from './archive/scope.ts'

const partitionNumber = (text: string): number => {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('It must be the number of a partition, such as 0.')
  return Number(text)
}

export function replayCommand(): Command {
  const command = new Command('replay').description(
    'rebuild the warehouse from the archive: puts in what is missing, and nothing twice',
  )
  for (const option of scopeOptions()) command.addOption(option)
  return command
    .option('--partition <number>', 'events of this partition alone', partitionNumber)
    .option('--anew', 'look at everything again, also at what an earlier replay that was stopped had done', false)
    .addHelpText(
      'after',
      `
It makes the tables first, and leaves out what was deleted. Events that the loader has not come to are left to it.
Stopped or killed, the same command goes on where it was. Run one at a time; with the embedded warehouse, stop the server
first. Cached results and datasets are computed anew by the server as they fall due.

Exit codes: 0 done, 1 it cannot work as asked, 3 stopped before the end, run it again to go on.

Examples:
  $ tributary replay
  $ CLICKHOUSE_URL=http://clickhouse:8123/rebuilt TRIBUTARY_ARCHIVE=s3://events/archive tributary replay
  $ tributary replay --project ID --from 2026-01-01 --to 2026-02-01`,
    )
    .action(async (options: ReplayOptions) => {
      const { runReplay } = await import('./archive/run-replay.ts')
      process.exitCode = await runReplay(options)
    })
}

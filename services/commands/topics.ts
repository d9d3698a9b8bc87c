import Table from 'cli-table3'
import { Command } from 'commander'
import { loadConfig } from '../shared/config.ts'
import { makeDataDir } from '../shared/config/organization.ts'
import { hasCode } from '../shared/errors.ts'
import type { EventLog } from '../shared/log/port.ts'
import { topicSpecs } from '../shared/log/topics.ts'
import { openLog } from './open/log.ts'
import { format } from './progress.ts'

const SILENT = { warn: () => {} }

export function topicsCommand(): Command {
  return new Command('topics')
    .description('make the topics that are missing, check those that are there, and list them')
    .option('--check', 'change nothing; exit with 1 when a topic is missing', false)
    .addHelpText(
      'after',
      '\nExamples:\n  $ KAFKA_BROKERS=kafka:9092 tributary topics\n  $ KAFKA_BROKERS=kafka:9092 tributary topics --check',
    )
    .action(async ({ check }: { check: boolean }) => {
      const config = loadConfig(process.env, process.cwd())
      if (config.log.kind === 'lmdb') await makeDataDir(config.dataDir)
      await using open = new AsyncDisposableStack()
      const log = open.adopt(await openLog(config, SILENT), (log) => log.close())
      const specs = topicSpecs(config.topics)
      if (!check) await log.ensureTopics(specs)
      const table = new Table({
        head: ['topic', 'partitions', 'records', 'kept', 'epoch'],
        style: { head: [], border: [] },
      })
      let missing = 0
      for (const spec of specs) {
        const found = await describe(log, spec.name)
        if (found === undefined) missing += 1
        const [partitions, records, epoch] = found ?? ['missing', '-', '-']
        const kept = spec.compacted ? 'newest of each key' : `${format((spec.retentionMs ?? 0) / 3_600_000)} h`
        table.push([spec.name, partitions, records, kept, epoch])
      }
      process.stdout.write(`${table.toString()}\n`)
      if (missing > 0) {
        process.stderr.write(`${missing} missing: run \`tributary topics\` to make them.\n`)
        process.exitCode = 1
      }
    })
}

/** Partitions, records and epoch as texts; undefined when the topic is not there. */
async function describe(log: EventLog, topic: string): Promise<readonly [string, string, string] | undefined> {
  try {
    const { partitions, epoch } = await log.describe(topic)
    const records = (await log.ends(topic)).reduce((sum, { start, end }) => sum + Number(end - start), 0)
    return [String(partitions), format(records), epoch]
  } catch (error) {
    if (hasCode(error, 'LOG_UNAVAILABLE')) {
      await log.ping() // says so itself when it is the whole log that is away
      return undefined
    }
    throw error
  }
}

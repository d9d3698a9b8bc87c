import { Command } from 'commander'
import { loadConfig } from '../shared/config.ts'
import { type Finding, findingText } from './doctor/finding.ts'
import { examineMachine } from './doctor/machine.ts'
import { examineBrokers } from './doctor/brokers.ts'
import { examineLog, examineOrganization, examineWarehouse } from './doctor/parts.ts'

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check settings, connections, versions, clocks, disk and limits, and say what to do')
    .addHelpText(
      'after',
      `
Exits with 1 when there is a problem; warnings and notes leave it at 0. It changes nothing.

Examples:
  $ tributary doctor
  $ KAFKA_BROKERS=kafka:9092 CLICKHOUSE_URL=http://clickhouse:8123 tributary doctor`,
    )
    .action(async () => {
      const config = loadConfig(process.env, process.cwd()) // names every fault itself
      const findings: Finding[] = [{ level: 'ok', subject: 'settings', says: 'all valid' }]
      for (const examine of [examineMachine, examineOrganization, examineLog, examineBrokers, examineWarehouse]) {
        findings.push(...(await examine(config)))
      }
      for (const finding of findings) process.stdout.write(`${findingText(finding)}\n`)
      const problems = findings.filter(({ level }) => level === 'problem').length
      const warnings = findings.filter(({ level }) => level === 'warning').length
      process.stdout.write(`\n${problems} problems, ${warnings} warnings\n`)
      if (problems > 0) process.exitCode = 1
    })
}

import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Config } from '../../shared/config.ts'
import { lockDataDir } from '../../shared/config/data-lock.ts'
import { readOrganization, organizationFile } from '../../shared/config/organization.ts'
import { AppError } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { topicSpecs } from '../../shared/log/topics.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { openLog } from '../open/log.ts'
import { openWarehouse } from '../open/warehouse.ts'
import type { Finding } from './finding.ts'

const PATIENCE_MS = 10_000
const SKEW_MS_MAX = 2_000
const LIMITS = {
  executionS: 10,
  rowsToRead: 100_000,
  memoryBytes: 268_435_456,
  resultRows: 1_000,
  resultBytes: 1_048_576,
}
const SILENT = { warn: () => {} }

/** Looking must not make anything. */
const unmade = (subject: string): Finding => ({ level: 'note', subject, says: 'the first start will make it' })

/** Where the organization's id, key and secret come from. */
export async function examineOrganization(config: Config): Promise<readonly Finding[]> {
  const subject = 'organization'
  if (config.organization.id !== undefined) return [{ level: 'ok', subject, says: 'set in the environment' }]
  const file = organizationFile(config.dataDir)
  if ((await readOrganization(config.dataDir)) !== undefined) return [{ level: 'ok', subject, says: `kept in ${file}` }]
  if (config.log.kind === 'lmdb') return [{ level: 'note', subject, says: `the first start will make ${file}` }]
  const todo = 'Set TRIBUTARY_ORGANIZATION_ID, TRIBUTARY_ORGANIZATION_KEY and TRIBUTARY_SECRET, alike in every process.'
  return [{ level: 'problem', subject, says: 'not set, and with Kafka no process may make its own', todo }]
}

/** The log: connection and topics. */
export async function examineLog(config: Config): Promise<readonly Finding[]> {
  const subject = config.log.kind === 'kafka' ? `Kafka (${config.log.brokers.join(', ')})` : 'embedded log'
  await using open = new AsyncDisposableStack()
  let log: EventLog
  if (config.log.kind === 'lmdb' && !existsSync(config.log.folder)) return [unmade(subject)]
  try {
    log = open.adopt(await openLog(config, SILENT), (log) => log.close())
    await log.ping()
  } catch (error) {
    const todo =
      config.log.kind === 'kafka'
        ? 'Check KAFKA_BROKERS, that a broker runs there and is reachable from here, and KAFKA_SSL and KAFKA_SASL_*.'
        : 'Check the disk and who owns the data folder.'
    return [{ level: 'problem', subject, says: reason(error), todo }]
  }
  const missing: string[] = []
  for (const { name } of topicSpecs(config.topics)) {
    await log.describe(name).catch(() => missing.push(name))
  }
  const findings: Finding[] = [{ level: 'ok', subject, says: 'answers' }]
  if (missing.length > 0) {
    const says = `not there yet: ${missing.join(', ')}`
    findings.push({
      level: 'note',
      subject: 'topics',
      says,
      todo: 'A start makes them, and so does `tributary topics`.',
    })
  } else findings.push({ level: 'ok', subject: 'topics', says: 'all there' })
  return findings
}

/** The warehouse: connection, version, clock and tables. */
export async function examineWarehouse(config: Config): Promise<readonly Finding[]> {
  const subject = config.warehouse.kind === 'http' ? `ClickHouse (${config.warehouse.url})` : 'embedded ClickHouse'
  if (config.warehouse.kind === 'chdb' && !existsSync(config.warehouse.folder)) return [unmade(subject)]
  await using open = new AsyncDisposableStack()
  try {
    if (config.warehouse.kind === 'chdb') {
      try {
        open.defer(await lockDataDir(config.dataDir))
      } catch (error) {
        return [{ level: 'note', subject, says: `not looked at. ${reason(error)}` }]
      }
    }
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const warehouse = open.adopt(await openWarehouse(config, signal), (warehouse) => warehouse.close())
    return [await versionAndClock(warehouse, subject), ...(await tables(warehouse))]
  } catch (error) {
    const todo =
      config.warehouse.kind === 'http'
        ? 'Check CLICKHOUSE_URL, that it runs there and is reachable from here, its user and password.'
        : 'Check the disk, the file limit, and that nothing else uses the data folder.'
    return [{ level: 'problem', subject, says: reason(error), todo }]
  }
}

async function versionAndClock(warehouse: Warehouse, subject: string): Promise<Finding> {
  const before = Date.now()
  const { rows } = await read(warehouse, 'SELECT version(), toUnixTimestamp64Milli(now64(3))')
  const after = Date.now()
  const [version, now] = rows[0] ?? []
  const skewMs = Math.max(0, before - Number(now), Number(now) - after)
  const says = `version ${String(version)}`
  if (skewMs <= SKEW_MS_MAX) return { level: 'ok', subject, says: `${says}, same clock` }
  const todo = 'Let both machines keep their clock by NTP: relative timeframes and batch ages depend on it.'
  return { level: 'warning', subject, says: `${says}, its clock is ${Math.round(skewMs)} ms off ours`, todo }
}

async function tables(warehouse: Warehouse): Promise<readonly Finding[]> {
  const { rows } = await read(
    warehouse,
    "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name IN ('events', 'schema_migrations')",
  )
  if (Number(rows[0]?.[0]) === 2) return [{ level: 'ok', subject: 'tables', says: 'there' }]
  const todo = 'A start makes them, and so does `tributary migrate`.'
  return [{ level: 'note', subject: 'tables', says: 'not there yet', todo }]
}

const read = (warehouse: Warehouse, sql: string) =>
  warehouse.read({
    sql,
    params: {},
    limits: LIMITS,
    queryId: randomUUID(),
    signal: AbortSignal.timeout(PATIENCE_MS),
  })

const reason = (error: unknown): string => (error instanceof AppError ? error.message : (error as Error).message)

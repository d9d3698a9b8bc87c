import { existsSync } from 'node:fs'
import { audit, type AuditReport } from '../../exporter/audit/audit.ts'
import type { AuditFinding } from '../../exporter/audit/finding.ts'
import { readRejected, type RejectedOffsets } from '../../exporter/audit/rejected-offsets.ts'
import { loadConfig } from '../../shared/config.ts'
import { lockDataDir } from '../../shared/config/data-lock.ts'
import { createErase, NO_DELETIONS } from '../../shared/deletions/domain/erase.ts'
import { followDeletions } from '../../shared/deletions/follow.ts'
import { AppError } from '../../shared/errors.ts'
import type { Config } from '../../shared/config.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { openArchive } from '../open/archive.ts'
import { openWarehouse } from '../open/warehouse.ts'
import { startProgress } from '../progress.ts'
import { stopOnSignal } from '../stop-on-signal.ts'
import { openExistingLog, readLogState } from './log-state.ts'
import { auditTable, findingLines } from './audit-text.ts'
import { scopeOf, type ScopeOptions } from './scope.ts'

export const AUDIT_EXIT = { whole: 0, problems: 1, failed: 2 } as const
/** Findings that are shown; all are counted. */
const SHOWN_MAX = 1_000
const PATIENCE_MS = 10_000

export interface AuditOptions extends ScopeOptions {
  readonly quick: boolean
  /** False with `--no-warehouse`. */
  readonly warehouse: boolean
  readonly json: boolean
}

/** Resolves with the exit code, having said what was found; rejects when it could not look. */
export async function runAudit(options: AuditOptions): Promise<number> {
  const config = loadConfig(process.env, process.cwd())
  await using open = new AsyncDisposableStack()
  if (config.archive.kind === 'folder' && !existsSync(config.archive.folder)) {
    throw new AppError('CONFIG_INVALID', `There is no archive in ${config.archive.folder}.`)
  }
  const bucket = await openArchive(config.archive)
  if (bucket === undefined) {
    throw new AppError('CONFIG_INVALID', 'There is no archive: set TRIBUTARY_ARCHIVE to a folder or a bucket.')
  }
  open.adopt(bucket, (bucket) => bucket.close())
  const warehouse = options.warehouse ? await openLookedAt(open, config) : undefined
  const log = await openExistingLog(config)
  if (log !== undefined) open.adopt(log, (log) => log.close())
  const { signal } = open.adopt(stopOnSignal(AUDIT_EXIT.failed), ({ release }) => release())
  const followed = log && open.adopt(await followDeletions(log, signal), (followed) => followed.close())
  let rejected: Promise<RejectedOffsets> | undefined
  const findings: AuditFinding[] = []
  let problems = 0
  const progress = open.adopt(startProgress(0), (bar) => bar.stop())
  const report = await audit({
    bucket,
    log: log && (await readLogState(log)),
    warehouse,
    erase: createErase(followed?.deletions ?? NO_DELETIONS),
    rejected: async () =>
      (rejected ??= log === undefined ? Promise.resolve(() => new Set()) : readRejected(log, signal)),
    scope: scopeOf(options),
    quick: options.quick,
    signal,
    onFinding: (finding) => {
      if (finding.level === 'problem') problems += 1
      if (findings.length < SHOWN_MAX) findings.push(finding)
    },
    onProgress: (ranges, events) => progress.update(ranges, events),
  })
  progress.stop()
  process.stdout.write(options.json ? asJson(report, findings, problems) : asText(report, findings, problems))
  return problems > 0 ? AUDIT_EXIT.problems : AUDIT_EXIT.whole
}

const asJson = (report: AuditReport, findings: readonly AuditFinding[], problems: number): string =>
  `${JSON.stringify({ whole: problems === 0, problems, ...report, findings }, null, 2)}\n`

function asText(report: AuditReport, findings: readonly AuditFinding[], problems: number): string {
  const lines = [auditTable(report), ...findings.map(findingLines)]
  if (problems > findings.length) lines.push(`... and more; --project, --from and --to narrow what is looked at.`)
  lines.push(problems === 0 ? 'The archive is whole.' : `${problems} problems.`)
  return `${lines.join('\n')}\n`
}

async function openLookedAt(open: AsyncDisposableStack, config: Config): Promise<Warehouse> {
  const without = 'Or pass --no-warehouse to look at the archive alone.'
  if (config.warehouse.kind === 'chdb') {
    if (!existsSync(config.warehouse.folder)) {
      throw new AppError('CONFIG_INVALID', `There is no warehouse in ${config.warehouse.folder}. ${without}`)
    }
    try {
      open.defer(await lockDataDir(config.dataDir))
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      throw new AppError(error.code, `${error.message} ${without}`, { cause: error })
    }
  }
  return open.adopt(await openWarehouse(config, AbortSignal.timeout(PATIENCE_MS)), (warehouse) => warehouse.close())
}

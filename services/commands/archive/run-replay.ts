import { existsSync } from 'node:fs'
import { replay, type ReplayReport } from '../../exporter/replay/replay.ts'
import { loadConfig } from '../../shared/config.ts'
import { lockDataDir } from '../../shared/config/data-lock.ts'
import { makeDataDir } from '../../shared/config/organization.ts'
import { createErase, NO_DELETIONS } from '../../shared/deletions/domain/erase.ts'
import { followDeletions } from '../../shared/deletions/follow.ts'
import { AppError, isRetryable } from '../../shared/errors.ts'
import { migrate } from '../../shared/warehouse/migrate.ts'
import { openArchive } from '../open/archive.ts'
import { openWarehouse } from '../open/warehouse.ts'
import { format, type Progress, startProgress } from '../progress.ts'
import { stopOnSignal } from '../stop-on-signal.ts'
import { openExistingLog, readLogState } from './log-state.ts'
import { scopeOf, type ScopeOptions } from './scope.ts'

export const REPLAY_EXIT = { done: 0, failed: 1, stopped: 3 } as const
const PATIENCE_MS = 120_000
const BACKOFF = { retryDelayMs: 200, retryDelayMaxMs: 15_000 }

export interface ReplayOptions extends ScopeOptions {
  readonly partition?: number
  readonly anew: boolean
}

/** Resolves with the exit code, having said on standard error how it went. */
export async function runReplay(options: ReplayOptions): Promise<number> {
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
  if (config.warehouse.kind === 'chdb') {
    await makeDataDir(config.dataDir)
    open.defer(await lockDataDir(config.dataDir))
  }
  const { signal } = open.adopt(stopOnSignal(REPLAY_EXIT.stopped), ({ release }) => release())
  const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)])
  const warehouse = open.adopt(await openWarehouse(config, patience), (warehouse) => warehouse.close())
  await migrate(warehouse, { signal: patience, syncInserts: warehouse.kind === 'chdb' })
  const log = await openExistingLog(config)
  if (log !== undefined) open.adopt(log, (log) => log.close())
  const followed = log && open.adopt(await followDeletions(log, signal), (followed) => followed.close())
  const state = log && (await readLogState(log))
  let progress: Progress | undefined
  open.defer(() => progress?.stop())
  let last: ReplayReport | undefined
  try {
    last = await replay({
      bucket,
      warehouse,
      erase: createErase(followed?.deletions ?? NO_DELETIONS),
      scope: scopeOf(options),
      partition: options.partition,
      anew: options.anew,
      loadedTo: ({ epoch, partition }) =>
        state === undefined || epoch !== state.epoch ? undefined : (state.loaded(partition) ?? state.start(partition)),
      nowMs: Date.now(),
      signal,
      ...BACKOFF,
      onRetry: () => progress?.note('The warehouse is away or busy; trying again.'),
      onStart: (ranges, isResumed) => {
        if (isResumed) process.stderr.write('Going on where an earlier replay stopped.\n')
        progress = startProgress(ranges)
      },
      onProgress: (ranges, report) => {
        last = report
        progress?.update(ranges, report.inserted + report.present)
      },
    })
  } catch (error) {
    progress?.stop()
    if (last !== undefined) process.stderr.write(summary(last))
    if (!signal.aborted && !isRetryable(error)) throw error
    const why = signal.aborted ? 'Stopped.' : `${(error as Error).message} Stopped.`
    process.stderr.write(`${why} The same command goes on from here.\n`)
    return REPLAY_EXIT.stopped
  }
  progress?.stop()
  process.stderr.write(summary(last))
  return REPLAY_EXIT.done
}

function summary({ ranges, inserted, present, erased, refused, notLoaded, gaps }: ReplayReport): string {
  const lines = [
    `${format(ranges)} ranges: ${format(inserted)} events put in, ${format(present)} were there.`,
    erased > 0 ? `${format(erased)} events were left out, because they were deleted.` : '',
    refused > 0 ? `${format(refused)} events were not taken by the warehouse, as when they were loaded.` : '',
    notLoaded > 0 ? `${format(notLoaded)} events are still in the log for the loader, which loads them itself.` : '',
    gaps > 0 ? `The archive has ${format(gaps)} gaps: \`tributary audit\` says where.` : '',
  ]
  return `${lines.filter((line) => line !== '').join('\n')}\n`
}

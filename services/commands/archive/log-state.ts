import { existsSync } from 'node:fs'
import type { LogState } from '../../exporter/audit/audit.ts'
import { EXPORTER_GROUP } from '../../exporter/worker.ts'
import { LOADER_GROUP } from '../../loader/worker.ts'
import type { Config } from '../../shared/config.ts'
import type { EventLog } from '../../shared/log/port.ts'
import { EVENTS_TOPIC } from '../../shared/log/topics.ts'
import { openLog } from '../open/log.ts'

/** The log of the settings; undefined when it is embedded and was never made, since looking must not make it. */
export async function openExistingLog(config: Config): Promise<EventLog | undefined> {
  if (config.log.kind === 'lmdb' && !existsSync(config.log.folder)) return undefined
  return openLog(config, { warn: () => {} })
}

/** How far the workers are. Rejects as the log does. */
export async function readLogState(log: EventLog): Promise<LogState> {
  const [{ epoch }, ends, exported, loaded] = await Promise.all([
    log.describe(EVENTS_TOPIC),
    log.ends(EVENTS_TOPIC),
    log.committed(EVENTS_TOPIC, EXPORTER_GROUP),
    log.committed(EVENTS_TOPIC, LOADER_GROUP),
  ])
  const starts = new Map(ends.map(({ partition, start }) => [partition, start]))
  return {
    epoch,
    partitions: [...starts.keys()],
    start: (partition) => starts.get(partition) ?? 0n,
    exported: (partition) => exported.get(partition)?.offset,
    loaded: (partition) => loaded.get(partition)?.offset,
  }
}

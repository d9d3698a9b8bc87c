import type { Config } from '../../shared/config.ts'
import type { EventLog } from '../../shared/log/port.ts'

export interface WarnLog {
  warn(fields: object, message: string): void
}

/** The log of the settings, connected. Its topics may still be missing. */
export async function openLog(config: Config, logger: WarnLog): Promise<EventLog> {
  const { openLmdbLog } = await import('../../shared/log/lmdb/open.ts')
  if (config.log.kind === 'kafka') throw new Error('unreachable')
  return openLmdbLog({ folder: config.log.folder, queueBytesMax: config.ingest.queueBytesMax, logger })
}

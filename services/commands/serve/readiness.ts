import { statfs } from 'node:fs/promises'
import { AppError } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import type { Registry } from '../../shared/registry/registry.ts'
import type { ReadinessChecks } from '../../shared/telemetry/health.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'

export interface ReadinessParts {
  readonly log: Pick<EventLog, 'ping'>
  readonly warehouse: Pick<Warehouse, 'ping'> | undefined
  readonly registry: Pick<Registry, 'isReady'> | undefined
  /** A folder that something embedded writes to. */
  readonly folder: string | undefined
  /** Aborted while the process drains. */
  readonly draining: AbortSignal
}

const DISK_FREE_BYTES_MIN = 128 * 1_048_576

/** What must be well for this process to take work. */
export function readinessChecks({ log, warehouse, registry, folder, draining }: ReadinessParts): ReadinessChecks {
  return {
    process: async () => {
      if (draining.aborted) throw new AppError('SHUTTING_DOWN', 'The process drains.')
    },
    log: async () => log.ping(),
    ...(warehouse === undefined ? {} : { warehouse: async () => warehouse.ping() }),
    ...(registry === undefined
      ? {}
      : {
          registry: async () => {
            if (!registry.isReady()) throw new AppError('LOG_UNAVAILABLE', 'The control topic is not followed.')
          },
        }),
    ...(folder === undefined ? {} : { disk: async () => requireRoom(folder) }),
  }
}

async function requireRoom(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize < DISK_FREE_BYTES_MIN) throw new AppError('LOG_UNAVAILABLE', 'The disk is nearly full.')
}

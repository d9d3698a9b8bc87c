import { Counter, type Registry as MetricsRegistry } from 'prom-client'
import type { Logger } from '../shared/telemetry/logger.ts'

export type AdminAction =
  | 'project created'
  | 'project updated'
  | 'project deleted'
  | 'project key replaced'
  | 'key created'
  | 'key updated'
  | 'key revoked'
  | 'key unrevoked'
  | 'key deleted'
  | 'stream created'
  | 'stream replaced'
  | 'stream deleted'
  | 'stream paused'
  | 'stream resumed'
  | 'stream back-filled'

/** Who did what to what: ids and names of streams only. */
export interface AdminChange {
  readonly action: AdminAction
  readonly requestId: string
  /** The organization's id, or the id of the master key that was presented. */
  readonly by: string
  readonly projectId: string
  readonly keyId?: string
  /** A stream's name, which has letters, digits, - and _ only. */
  readonly stream?: string
}

export type Audit = (change: AdminChange) => void

/** One line and one count for each change that was made. */
export function createAudit(logger: Pick<Logger, 'info'>, metrics: MetricsRegistry): Audit {
  const changes = new Counter({
    name: 'admin_changes_total',
    help: 'Changes of projects, keys and streams made through this process.',
    labelNames: ['action'] as const,
    registers: [metrics],
  })
  return (change) => {
    changes.inc({ action: change.action })
    logger.info(change, 'admin change')
  }
}

import type { UnusableReason } from '../../shared/events/domain/decode-record.ts'
import type { LogRecord } from '../../shared/log/port.ts'

export type DeadReason = UnusableReason | 'warehouse_rejected'

export interface DeadRecord {
  readonly record: LogRecord
  readonly reason: DeadReason
}

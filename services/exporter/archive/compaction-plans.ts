import { readWhole } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError } from '../../shared/errors.ts'
import { compactionKey, type CompactionPlan, parseCompactionPlan } from '../domain/compaction.ts'

/** Undefined when there is none of this number. Rejects as the bucket does, and with ARCHIVE_DAMAGED. */
export async function readCompactionPlan(
  archive: Bucket,
  number: number,
  signal: AbortSignal,
): Promise<CompactionPlan | undefined> {
  const key = compactionKey(number, 'plan')
  const bytes = await readWhole(archive, key, signal)
  if (bytes === undefined) return undefined
  const plan = parseCompactionPlan(bytes)
  if (plan === undefined) {
    throw new AppError('ARCHIVE_DAMAGED', 'A plan of a compaction cannot be read.', { details: { key } })
  }
  return plan
}

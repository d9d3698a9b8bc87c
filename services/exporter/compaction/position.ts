import { bodyOf } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError, hasCode } from '../../shared/errors.ts'
import { readCompactionPlan } from '../archive/compaction-plans.ts'
import {
  COMPACTION_PREFIX,
  compactionKey,
  type CompactionPlan,
  compactionText,
  parseCompactionKey,
} from '../domain/compaction.ts'

/** How far compaction has come. */
export interface Position {
  /** The newest plan, and whether it was carried out. */
  readonly plan: CompactionPlan | undefined
  readonly isDone: boolean
  /** Numbers of plans that were carried out and whose old objects may be there still. */
  readonly uncleared: readonly number[]
}

const contentType = 'application/json'

/** Rejects as the bucket does, and with ARCHIVE_DAMAGED. */
export async function readPosition(archive: Bucket, signal: AbortSignal): Promise<Position> {
  let newest = 0
  let newestDone = 0
  let newestCleared = 0
  const uncleared: number[] = []
  // In the order of numbers; of one number `cleared` comes first and the plan last.
  for await (const { key } of archive.list(COMPACTION_PREFIX, { signal })) {
    const { number, stage } = parseCompactionKey(key) ?? { number: 0, stage: undefined }
    if (stage === 'plan') newest = number
    if (stage === 'cleared') newestCleared = number
    if (stage === 'done' || stage === 'cleared') newestDone = number
    if (stage === 'done' && newestCleared !== number) uncleared.push(number)
  }
  if (newest === 0) return { plan: undefined, isDone: true, uncleared: [] }
  const plan = await readCompactionPlan(archive, newest, signal)
  if (plan === undefined) throw gone(newest)
  return { plan, isDone: newestDone === newest, uncleared }
}

const gone = (number: number): AppError =>
  new AppError('ARCHIVE_DAMAGED', 'A plan of a compaction is not there any more.', {
    details: { key: compactionKey(number, 'plan') },
  })

/** Decides on a plan; gives the one that holds, which is another writer's when that one was first. */
export async function decide(archive: Bucket, plan: CompactionPlan, signal: AbortSignal): Promise<CompactionPlan> {
  try {
    await archive.put(compactionKey(plan.number, 'plan'), bodyOf(compactionText(plan)), { contentType, signal })
    return plan
  } catch (error) {
    if (!hasCode(error, 'BUCKET_CONFLICT')) throw error
    const found = await readCompactionPlan(archive, plan.number, signal)
    if (found === undefined) throw gone(plan.number)
    return found
  }
}

/** Says that a plan has come to a stage. Another writer that did the same says the same. */
export async function mark(
  archive: Bucket,
  number: number,
  stage: 'done' | 'cleared',
  signal: AbortSignal,
): Promise<void> {
  try {
    const text = compactionText({ version: 1, number })
    await archive.put(compactionKey(number, stage), bodyOf(text), { contentType, signal })
  } catch (error) {
    if (!hasCode(error, 'BUCKET_CONFLICT')) throw error
  }
}

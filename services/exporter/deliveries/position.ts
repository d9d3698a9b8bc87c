import { bodyOf, readWhole } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { AppError, hasCode } from '../../shared/errors.ts'
import {
  afterDelivery,
  coursePrefix,
  type CourseName,
  type Delivered,
  deliveredKey,
  type DeliveryPlan,
  deliveryText,
  parseCourseKey,
  parsePlan,
  planKey,
} from '../domain/delivery.ts'

/** How far a course has come: its newest plan, and whether that was carried out. */
export interface Position {
  readonly plan: DeliveryPlan | undefined
  readonly isDone: boolean
}

const contentType = 'application/json'

const damaged = (key: string): AppError =>
  new AppError('ARCHIVE_DAMAGED', 'A plan of a delivery cannot be read.', { details: { key } })

/** Deliveries that are looked at one by one; a stream makes half a million of them a year. */
const LISTED_MAX = 512

/** Reads how far a course has come from the archive's bucket, in few listings however many deliveries there were. */
export async function readPosition(archive: Bucket, course: CourseName, signal: AbortSignal): Promise<Position> {
  const prefix = coursePrefix(course)
  let planned = 0
  let done = 0
  const after = afterDelivery(course, await lowerBound(archive, course, signal))
  for await (const { key } of archive.list(prefix, { after, signal })) {
    const found = parseCourseKey(key)
    if (found?.kind === 'plan') planned = Math.max(planned, found.sequence)
    if (found?.kind === 'done') done = Math.max(done, found.sequence)
  }
  if (planned === 0) return { plan: undefined, isDone: true }
  return { plan: await readPlan(archive, planKey(course, planned), signal), isDone: done >= planned }
}

/** A number that the newest delivery lies behind, by LISTED_MAX at most. */
async function lowerBound(archive: Bucket, course: CourseName, signal: AbortSignal): Promise<number> {
  const isThereMore = async (sequence: number): Promise<boolean> => {
    const listed = archive.list(coursePrefix(course), { after: afterDelivery(course, sequence), signal })
    for await (const _ of listed) return true
    return false
  }
  let bound = 0
  let step = LISTED_MAX
  while (await isThereMore(bound + step)) {
    bound += step
    step *= 2
  }
  while (step > LISTED_MAX) {
    step /= 2
    if (await isThereMore(bound + step)) bound += step
  }
  return bound
}

/** Decides on a delivery; gives the plan that holds, which is another writer's when that one was first. */
export async function decide(
  archive: Bucket,
  course: CourseName,
  plan: DeliveryPlan,
  signal: AbortSignal,
): Promise<DeliveryPlan> {
  const key = planKey(course, plan.sequence)
  try {
    await archive.put(key, bodyOf(deliveryText(plan)), { contentType, signal })
    return plan
  } catch (error) {
    if (!hasCode(error, 'BUCKET_CONFLICT')) throw error
    return readPlan(archive, key, signal)
  }
}

/** Says that a delivery is carried out. Another writer that did the same says the same. */
export async function finish(archive: Bucket, course: CourseName, done: Delivered, signal: AbortSignal): Promise<void> {
  try {
    await archive.put(deliveredKey(course, done.sequence), bodyOf(deliveryText(done)), { contentType, signal })
  } catch (error) {
    if (!hasCode(error, 'BUCKET_CONFLICT')) throw error
  }
}

async function readPlan(archive: Bucket, key: string, signal: AbortSignal): Promise<DeliveryPlan> {
  const bytes = await readWhole(archive, key, signal)
  const plan = bytes && parsePlan(bytes)
  if (plan === undefined) throw damaged(key)
  return plan
}

import { readWhole } from '../../shared/bucket/body.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import type { Deletion } from '../../shared/deletions/model.ts'
import { deliveriesPrefix, parseCourseKey, parseDelivered } from '../domain/delivery.ts'

/** A file that was delivered into a project's own bucket. */
export interface DeliveredBefore {
  readonly stream: string
  readonly key: string
}

/**
 * Files of the collection that streams of the project were given so far: they may hold what is erased, and are the
 * project's own to put right. The first `max`, and how many there are.
 */
export async function deliveredFiles(
  archive: Bucket,
  { projectId, collection }: Pick<Deletion, 'projectId' | 'collection'>,
  max: number,
  signal: AbortSignal,
): Promise<{ readonly count: number; readonly files: readonly DeliveredBefore[] }> {
  const files: DeliveredBefore[] = []
  let count = 0
  for await (const { key } of archive.list(deliveriesPrefix(projectId), { signal })) {
    if (parseCourseKey(key)?.kind !== 'done') continue
    const bytes = await readWhole(archive, key, signal)
    const delivered = bytes && parseDelivered(bytes)
    for (const file of delivered?.files ?? []) {
      if (file.collection !== collection) continue
      count += 1
      if (files.length < max) files.push({ stream: delivered?.stream ?? '', key: file.key })
    }
  }
  return { count, files }
}

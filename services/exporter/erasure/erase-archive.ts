import { createErase } from '../../shared/deletions/domain/erase.ts'
import type { Deletion } from '../../shared/deletions/model.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { readWhole } from '../../shared/bucket/body.ts'
import { archivedPartitions, archivedRanges } from '../archive/read-archive.ts'
import { deliveriesPrefix, parseCourseKey, parseDelivered } from '../domain/delivery.ts'
import type { ArchivedObject } from '../domain/manifest.ts'
import { type EraseDeps, eraseRange } from './erase-range.ts'

/** What an erasure did to the archive. */
export interface Erasure {
  /** Ranges that were looked at. */
  readonly ranges: number
  /** Objects that were written anew or removed. */
  readonly objects: number
  readonly erased: number
  readonly changed: number
}

/**
 * Erases from the archive what a deletion concerns. All ranges that can hold events of before it must be there; done
 * again, it finds nothing more. Rejects as `eraseRange` does.
 */
export async function eraseArchive(
  deps: EraseDeps,
  deletion: Deletion,
  onProgress: (soFar: Erasure) => void,
): Promise<Erasure> {
  const { archive, signal } = deps
  const { projectId, collection, atMs } = deletion
  const erase = createErase({
    isEmpty: false,
    of: (project, name) => (project === projectId && name === collection ? [deletion] : []),
  })
  const isConcerned = (object: ArchivedObject): boolean =>
    object.project === projectId && object.collection === collection && Date.parse(object.hour) <= atMs
  let done: Erasure = { ranges: 0, objects: 0, erased: 0, changed: 0 }
  for (const partition of await archivedPartitions(archive, signal)) {
    for await (const range of archivedRanges(archive, partition, 0n, signal)) {
      const { erased, changed, objects } = await eraseRange(deps, range, isConcerned, erase)
      done = {
        ranges: done.ranges + 1,
        objects: done.objects + objects,
        erased: done.erased + erased,
        changed: done.changed + changed,
      }
      onProgress(done)
    }
  }
  return done
}

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

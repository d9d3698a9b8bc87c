import { createErase } from '../../shared/deletions/domain/erase.ts'
import type { Deletion } from '../../shared/deletions/model.ts'
import { archivedPartitions, archivedRanges } from '../archive/read-archive.ts'
import type { ArchivedObject } from '../domain/manifest.ts'
import { type EraseDeps, type ErasedObjects, NOTHING_ERASED, sumOf } from './erase-deps.ts'
import { eraseRange } from './erase-range.ts'
import { MergedFiles } from './merged-files.ts'

/** What an erasure did to the archive. */
export interface Erasure extends ErasedObjects {
  /** Ranges that were looked at. */
  readonly ranges: number
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
  const erasing = { isConcerned, erase, merged: new MergedFiles(deps) }
  let done: Erasure = { ranges: 0, ...NOTHING_ERASED }
  for (const partition of await archivedPartitions(archive, signal)) {
    for await (const range of archivedRanges(archive, partition, 0n, signal)) {
      done = { ranges: done.ranges + 1, ...sumOf(done, await eraseRange(deps, range, erasing)) }
      onProgress(done)
    }
  }
  return done
}

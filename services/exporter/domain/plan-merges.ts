import { isJoinable } from './archive-format.ts'
import type { Merge, Piece } from './compaction.ts'
import { type ArchivedObject, isMerged } from './manifest.ts'
import { mergedKey } from './merged-key.ts'

/** An object that may be merged with others of its project, collection, hour and format. */
export interface Candidate {
  /** The key of its range's first manifest. */
  readonly manifest: string
  readonly object: ArchivedObject
}

/** Whether an object is one by itself, of a format that can be joined, and smaller than a merged file is to be. */
export const isCandidate = (object: ArchivedObject, targetBytes: number): boolean =>
  !isMerged(object) && isJoinable(object.format) && object.bytes > 0 && object.bytes < targetBytes

/**
 * The files that a plan of this number makes of the candidates: each of at least two objects, and filled up to
 * `targetBytes` in the order of partitions and offsets. What would be a file of one is left as it is.
 */
export function planMerges(number: number, candidates: readonly Candidate[], targetBytes: number): readonly Merge[] {
  const groups = Map.groupBy(
    candidates.toSorted((a, b) => (a.manifest < b.manifest ? -1 : 1)),
    ({ object: { project, hour, collection, format } }) => `${project}/${hour}/${collection}/${format}`,
  )
  const merges: Merge[] = []
  for (const [, group] of [...groups.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    for (const filled of filledFiles(group, targetBytes)) {
      const [{ object } = { object: undefined }] = filled
      if (object === undefined || filled.length < 2) continue
      const { project, collection, format } = object
      const part = { project, collection, hourMs: Date.parse(object.hour) }
      const key = mergedKey(part, { plan: number, index: merges.length }, format)
      merges.push({ key, format, pieces: filled.map(pieceOf) })
    }
  }
  return merges
}

const pieceOf = ({ manifest, object: { key, bytes, sha256 } }: Candidate): Piece => ({ manifest, key, bytes, sha256 })

function filledFiles(group: readonly Candidate[], targetBytes: number): readonly (readonly Candidate[])[] {
  const files: Candidate[][] = []
  let bytes = 0
  for (const candidate of group) {
    const file = files.at(-1)
    if (file === undefined || bytes + candidate.object.bytes > targetBytes) {
      files.push([candidate])
      bytes = candidate.object.bytes
    } else {
      file.push(candidate)
      bytes += candidate.object.bytes
    }
  }
  return files
}

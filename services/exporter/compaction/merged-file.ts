import { createHash } from 'node:crypto'
import type { Bucket } from '../../shared/bucket/port.ts'
import { putOnce } from '../archive/put-once.ts'
import { sha256Of } from '../archive/sha256.ts'
import { CONTENT_TYPES } from '../domain/archive-format.ts'
import { fileBytesOf, type Merge } from '../domain/compaction.ts'
import { type Draft, draftOf } from '../spool/draft.ts'

/** `gone`, `damaged`: a piece; `mismatched`: something else has the file's name. */
export type StoreOutcome = 'written' | 'matched' | 'gone' | 'damaged' | 'mismatched'

export interface StoreDeps {
  readonly archive: Bucket
  readonly folder: string
  /** Asked before the file is sent. */
  readonly confirm: () => Promise<void>
}

class BadPiece extends Error {
  readonly outcome: 'gone' | 'damaged'

  constructor(outcome: 'gone' | 'damaged') {
    super(outcome)
    this.outcome = outcome
  }
}

/** Writes a merge's file, or finds that an earlier attempt has. Each piece is held to its hash before a byte is sent. Rejects as the bucket does. */
export async function storeMerged(
  { archive, folder, confirm }: StoreDeps,
  merge: Merge,
  signal: AbortSignal,
): Promise<StoreOutcome> {
  const { key, format } = merge
  // Its content is what its pieces are, which the plan says: an earlier attempt's is known without reading them again.
  const contentSha256 = sha256Of(merge.pieces.map(({ sha256 }) => sha256).join('\n'))
  const found = await archive.head(key, signal)
  if (found?.bytes === fileBytesOf(merge) && found.metadata['content-sha256'] === contentSha256) return 'matched'
  let draft: Draft
  try {
    draft = await draftOf(pieceBytes(archive, merge, signal), folder)
  } catch (error) {
    if (error instanceof BadPiece) return error.outcome
    throw error
  }
  try {
    await confirm()
    const stamp = { sha256: draft.sha256, contentSha256 }
    const options = { contentType: CONTENT_TYPES[format], signal }
    return (await putOnce(archive, key, draft.body, stamp, options)).outcome
  } finally {
    await draft.dispose()
  }
}

async function* pieceBytes(archive: Bucket, { pieces }: Merge, signal: AbortSignal): AsyncGenerator<Buffer> {
  for (const piece of pieces) {
    const stream = await archive.get(piece.key, signal)
    if (stream === undefined) throw new BadPiece('gone')
    const hash = createHash('sha256')
    let bytes = 0
    for await (const chunk of stream) {
      hash.update(chunk as Buffer)
      bytes += (chunk as Buffer).length
      yield chunk as Buffer
    }
    if (bytes !== piece.bytes || hash.digest('hex') !== piece.sha256) throw new BadPiece('damaged')
  }
}

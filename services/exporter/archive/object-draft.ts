import type { ArchiveFormat } from '../domain/archive-format.ts'
import { type Draft, draftOf } from '../spool/draft.ts'
import { BLOCK_BYTES, type PackedStamp } from '../formats/block-packer.ts'
import { objectPacker } from './object-packer.ts'

/** An object's bytes before they are sent, and what names them. */
export interface ObjectDraft extends Draft, PackedStamp {}

/** Packs lines, each with its end, into an object; a large draft waits in a file in `folder`. Rejects as `lines` does. */
export async function draftObject(
  lines: AsyncIterable<readonly Buffer[]>,
  format: ArchiveFormat,
  folder: string,
): Promise<ObjectDraft> {
  const packer = objectPacker(format)
  const stamps: PackedStamp[] = []
  async function* packed(): AsyncGenerator<Buffer> {
    let block: Buffer[] = []
    let bytes = 0
    for await (const batch of lines) {
      for (const line of batch) {
        block.push(line)
        bytes += line.length
        if (bytes < BLOCK_BYTES) continue
        yield packer.pack(Buffer.concat(block))
        block = []
        bytes = 0
      }
    }
    if (bytes > 0) yield packer.pack(Buffer.concat(block))
    const { tail, ...stamp } = packer.finish()
    stamps.push(stamp)
    yield tail
  }
  const draft = await draftOf(packed(), folder)
  const [stamp] = stamps
  if (stamp === undefined) throw new Error('a draft that did not come to its end')
  return { ...draft, ...stamp }
}

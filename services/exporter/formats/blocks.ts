import { Readable, pipeline, type Transform } from 'node:stream'

export const BLOCK_BYTES = 64 << 10

/**
 * The same bytes in blocks of `blockBytes`, the last one shorter. What a compressor makes of bytes may depend on where they were
 * cut, and where a source cuts is chance.
 */
export async function* inBlocks(pieces: AsyncIterable<Buffer>, blockBytes = BLOCK_BYTES): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafeSlow(blockBytes)
  let used = 0
  for await (const piece of pieces) {
    for (let from = 0; from < piece.length; ) {
      const copied = piece.copy(block, used, from)
      from += copied
      used += copied
      if (used < blockBytes) continue
      yield block
      block = Buffer.allocUnsafeSlow(blockBytes)
      used = 0
    }
  }
  if (used > 0) yield block.subarray(0, used)
}

/** What `compressor` makes of the pieces. Throws what the pieces throw; a consumer that stops early ends the pieces too. */
export async function* compressed(pieces: AsyncIterable<Buffer>, compressor: Transform): AsyncGenerator<Buffer> {
  const source = Readable.from(inBlocks(pieces), { objectMode: false, highWaterMark: BLOCK_BYTES })
  // An error reaches the loop below through the compressor.
  pipeline(source, compressor, () => undefined)
  for await (const chunk of compressor) yield chunk as Buffer
}

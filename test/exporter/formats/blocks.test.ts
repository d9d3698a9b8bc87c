import { expect, test } from 'vitest'
import { BLOCK_BYTES, inBlocks } from '../../../services/exporter/formats/blocks.ts'

test('blocks are of one size, wherever the pieces end', async () => {
  const bytes = Buffer.from(Array.from({ length: 2 * BLOCK_BYTES + 7 }, (_, i) => (i * 7919) % 251))
  for (const size of [1_000, BLOCK_BYTES, bytes.length]) {
    const pieces = async function* () {
      for (let i = 0; i < bytes.length; i += 2 * size) {
        yield bytes.subarray(i, i + size)
        yield Buffer.alloc(0)
        yield bytes.subarray(i + size, i + 2 * size)
      }
    }
    const blocks: Buffer[] = []
    for await (const block of inBlocks(pieces())) blocks.push(block)
    expect(blocks.map(({ length }) => length)).toEqual([BLOCK_BYTES, BLOCK_BYTES, 7])
    expect(Buffer.concat(blocks).equals(bytes)).toBe(true)
  }
})

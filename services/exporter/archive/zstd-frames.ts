import { zstdDecompressSync } from 'node:zlib'
import { MalformedDatum } from '../../shared/events/wire.ts'
import { StreamFront } from './stream-front.ts'

const MAGIC = 0xfd2fb528
const CHECKSUM_BYTES = 4
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const
/** Of one frame: four times what a block of lines has with the largest event that can be recorded. */
const FRAME_BYTES_MAX = 64 << 20
const RLE = 1
const RESERVED = 3

/**
 * What Zstandard frames hold that stand one behind the other, frame by frame: Node's own stream ends with the first one. Frames are
 * found by their headers (RFC 8878, 3.1.1). No frame may hold more than `bytesMax`, nor than 64 MiB. Throws MalformedDatum for what is no frame,
 * the decompressor's errors, and what `stored` throws.
 */
export async function* zstdContent(stored: AsyncIterable<Buffer>, bytesMax: number): AsyncGenerator<Buffer> {
  const frameBytesMax = Math.max(1, Math.min(bytesMax, FRAME_BYTES_MAX))
  const chunks = stored[Symbol.asyncIterator]()
  const front = new StreamFront(chunks)
  try {
    while (!(await front.isAtEnd())) {
      const frame = await frameAt(front, frameBytesMax)
      yield zstdDecompressSync(frame, { maxOutputLength: frameBytesMax })
    }
  } finally {
    await chunks.return?.()
  }
}

async function frameAt(front: StreamFront, contentBytesMax: number): Promise<Buffer> {
  const start = await front.take(5)
  const descriptor = start.readUInt8(4)
  if (start.readUInt32LE(0) !== MAGIC) throw new MalformedDatum('begins as no frame')
  const isSingle = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  const sizeBytes = sizeFlag === 0 && isSingle ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0)
  const header = (isSingle ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0) + sizeBytes
  const pieces = [start, await front.take(header)]
  let bytes = 0
  for (let isLast = false; !isLast; ) {
    const block = await front.take(3)
    const bits = block.readUIntLE(0, 3)
    const type = (bits >> 1) & 3
    if (type === RESERVED) throw new MalformedDatum('a block of no known type')
    bytes += bits >> 3
    // What does not compress is stored as it is, and a run says how long it is.
    if (bytes > contentBytesMax) throw new MalformedDatum('a frame is larger than what it may hold')
    pieces.push(block, await front.take(type === RLE ? 1 : bits >> 3))
    isLast = (bits & 1) === 1
  }
  if ((descriptor & 4) !== 0) pieces.push(await front.take(CHECKSUM_BYTES))
  return Buffer.concat(pieces)
}

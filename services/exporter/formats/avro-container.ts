import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { deflateRaw } from 'node:zlib'
import { longBytesMax, writeLong } from '../../shared/events/wire.ts'

const SCHEMAS = join(import.meta.dirname, '..', '..', '..', 'schemas', 'avro')
const MAGIC = Buffer.from('Obj\u0001', 'latin1')
export const SYNC_BYTES = 16
export const DEFLATE_LEVEL = 1
/** Before compression. Readers hold a block at a time, and split files between blocks. */
const BLOCK_BYTES = 256 << 10

const deflate = promisify(deflateRaw)

/** A record's bytes, in pieces that stay as they are until the block is written. */
export type AvroRecord = readonly Buffer[]

/** A schema as a file holds it: without the spaces that it has in its own. */
export const readSchema = (file: string): Buffer =>
  Buffer.from(JSON.stringify(JSON.parse(readFileSync(join(SCHEMAS, file), 'utf8'))))

/**
 * An Avro object container file, in blocks of 256 KiB and the record that goes past it, compressed with deflate, which
 * besides none is the only codec that every reader must have. The sync marker is a hash of the schema and the first
 * block: the same for the same records, and nothing that an event could hold on purpose.
 */
export async function* avroFile(schema: Buffer, records: AsyncIterable<readonly AvroRecord[]>): AsyncGenerator<Buffer> {
  let sync: Buffer | undefined
  for await (const { count, bytes } of blocksOf(records)) {
    const data = await deflate(bytes, { level: DEFLATE_LEVEL })
    if (sync === undefined) {
      sync = syncMarker(schema, data)
      yield Buffer.concat([fileHead(schema), sync])
    }
    yield fileBlock(count, data, sync)
  }
  if (sync === undefined) yield Buffer.concat([fileHead(schema), syncMarker(schema, Buffer.alloc(0))])
}

/** A block of a file: so many records, compressed. */
export const fileBlock = (count: number, data: Buffer, sync: Buffer): Buffer =>
  Buffer.concat([long(count), long(data.length), data, sync])

/** Everything of a file before its first sync marker. */
export function fileHead(schema: Buffer): Buffer {
  const metadata = [bytes('avro.codec'), bytes('deflate'), bytes('avro.schema'), bytes(schema)]
  return Buffer.concat([MAGIC, long(2), ...metadata, long(0)])
}

/** Blocks end by the size of their records alone, wherever batches end. */
async function* blocksOf(
  batches: AsyncIterable<readonly AvroRecord[]>,
): AsyncGenerator<{ readonly count: number; readonly bytes: Buffer }> {
  let pieces: Buffer[] = []
  let size = 0
  let count = 0
  for await (const batch of batches) {
    for (const record of batch) {
      for (const piece of record) size += piece.length
      pieces.push(...record)
      count += 1
      if (size < BLOCK_BYTES) continue
      yield { count, bytes: Buffer.concat(pieces, size) }
      pieces = []
      size = 0
      count = 0
    }
  }
  if (count > 0) yield { count, bytes: Buffer.concat(pieces, size) }
}

/** Of a file that begins with this block. */
export const syncMarker = (schema: Buffer, firstBlock: Buffer): Buffer =>
  createHash('sha256').update(schema).update(firstBlock).digest().subarray(0, SYNC_BYTES)

function bytes(value: string | Buffer): Buffer {
  const body = Buffer.from(value as string)
  return Buffer.concat([long(body.length), body])
}

function long(value: number): Buffer {
  const target = Buffer.allocUnsafe(longBytesMax)
  return target.subarray(0, writeLong(target, value, 0))
}

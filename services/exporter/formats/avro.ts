import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { deflateRaw } from 'node:zlib'
import { longBytesMax, writeLong } from '../../shared/events/wire.ts'
import type { FileEvent, FileEvents, FileFormat, Kept } from './format.ts'

const SCHEMA_FILE = join(import.meta.dirname, '..', '..', '..', 'schemas', 'avro', 'exported-event.v1.avsc')
const MAGIC = Buffer.from('Obj\u0001', 'latin1')
const SYNC_BYTES = 16
const DEFLATE_LEVEL = 1
/** Before compression. Readers hold a block at a time, and split files between blocks. */
const BLOCK_BYTES = 256 << 10

const deflate = promisify(deflateRaw)

/**
 * An Avro object container file of records of `schemas/avro/exported-event.v1.avsc`, in blocks of 256 KiB and the record
 * that goes past it, compressed with deflate. The sync marker is a hash of the schema and the first block: the same for
 * the same events, and nothing that an event could hold on purpose.
 */
export const avroContainer: FileFormat = {
  name: 'avro',
  extension: 'avro',
  contentType: 'application/vnd.apache.avro+binary',
  hasColumns: false,
  encode: encodeContainer,
}

async function* encodeContainer(events: FileEvents, keep?: (kept: Kept) => void): AsyncGenerator<Buffer> {
  // A file holds it without the spaces that it has in its own.
  const schema = Buffer.from(JSON.stringify(JSON.parse(readFileSync(SCHEMA_FILE, 'utf8'))))
  let sync: Buffer | undefined
  for await (const { count, bytes } of recordBlocks(events)) {
    const data = await deflate(bytes, { level: DEFLATE_LEVEL })
    if (sync === undefined) {
      sync = syncMarker(schema, data)
      yield fileHeader(schema, sync)
    }
    yield Buffer.concat([long(count), long(data.length), data, sync])
  }
  if (sync === undefined) yield fileHeader(schema, syncMarker(schema, Buffer.alloc(0)))
  keep?.({})
}

/** Blocks end by the size of their records alone, wherever batches end. */
async function* recordBlocks(events: FileEvents): AsyncGenerator<{ readonly count: number; readonly bytes: Buffer }> {
  let pieces: Buffer[] = []
  let size = 0
  let count = 0
  for await (const batch of events()) {
    for (const event of batch) {
      const head = recordHead(event)
      pieces.push(head, event.properties)
      size += head.length + event.properties.length
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

/** A record up to the text of its properties. */
function recordHead(event: FileEvent): Buffer {
  const idBytes = Buffer.byteLength(event.id)
  const head = Buffer.allocUnsafe(idBytes + 4 * longBytesMax)
  let position = writeLong(head, idBytes, 0)
  position += head.write(event.id, position)
  position = writeLong(head, event.timestampMs, position)
  position = writeLong(head, event.createdAtMs, position)
  position = writeLong(head, event.properties.length, position)
  return head.subarray(0, position)
}

function fileHeader(schema: Buffer, sync: Buffer): Buffer {
  const metadata = [bytes('avro.codec'), bytes('deflate'), bytes('avro.schema'), bytes(schema)]
  return Buffer.concat([MAGIC, long(2), ...metadata, long(0), sync])
}

const syncMarker = (schema: Buffer, firstBlock: Buffer): Buffer =>
  createHash('sha256').update(schema).update(firstBlock).digest().subarray(0, SYNC_BYTES)

function bytes(value: string | Buffer): Buffer {
  const body = Buffer.from(value as string)
  return Buffer.concat([long(body.length), body])
}

function long(value: number): Buffer {
  const target = Buffer.allocUnsafe(longBytesMax)
  return target.subarray(0, writeLong(target, value, 0))
}

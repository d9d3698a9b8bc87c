import { promisify } from 'node:util'
import { deflateRawSync, inflateRaw } from 'node:zlib'
import { AppError } from '../../shared/errors.ts'
import { DatumReader, longBytesMax, MalformedDatum } from '../../shared/events/wire.ts'
import { eventsIn } from '../domain/lines.ts'
import { DEFLATE_LEVEL, fileBlock, fileHead, readSchema, SYNC_BYTES, syncMarker } from '../formats/avro-container.ts'
import { avroRecord, lineOfRecord } from './avro-record.ts'
import { StreamFront } from './stream-front.ts'

const SCHEMA = readSchema('archived-event.v1.avsc')
const HEAD = fileHead(SCHEMA)
/** Of a block's records: four times what it has with the largest event that can be recorded. */
const BLOCK_BYTES_MAX = 64 << 20
/** Lines are given in pieces of this size and the line that goes past it. */
const PIECE_BYTES = 256 << 10

const inflate = promisify(inflateRaw)

/** Makes an Avro object container file of lines of the archive, block by block. */
export class AvroBlocks {
  #sync: Buffer | undefined

  /** What goes before the first block, which must have been made. */
  head(): Buffer {
    return Buffer.concat([HEAD, this.#sync ?? Buffer.alloc(SYNC_BYTES)])
  }

  /** A block of whole lines. */
  block(lines: Buffer): Buffer {
    const events = eventsIn(lines, notOurs)
    const data = deflateRawSync(Buffer.concat(events.flatMap(avroRecord)), { level: DEFLATE_LEVEL })
    this.#sync ??= syncMarker(SCHEMA, data)
    return fileBlock(events.length, data, this.#sync)
  }
}

const notOurs = (): AppError => new AppError('InternalServerError', 'A line for the archive is none of its own.')

/**
 * The lines that `AvroBlocks` made the file of; `linesBytes`, how many bytes they have, bounds what a block may claim. Throws
 * MalformedDatum for what is no such file, and what `stored` throws.
 */
export async function* linesOfAvro(stored: AsyncIterable<Buffer>, linesBytes: number): AsyncGenerator<Buffer> {
  const bytesMax = Math.min(linesBytes, BLOCK_BYTES_MAX) // a record is shorter than its line
  const chunks = stored[Symbol.asyncIterator]()
  const file = new StreamFront(chunks)
  try {
    // Ours have one head. Another one is damage, or somebody else's: nothing of it has to be understood.
    if (!(await file.take(HEAD.length)).equals(HEAD)) throw new MalformedDatum('begins as no file of ours')
    const sync = await file.take(SYNC_BYTES)
    while (!(await file.isAtEnd())) {
      const count = await longOf(file)
      const dataBytes = await longOf(file)
      if (count < 1 || dataBytes < 0 || dataBytes > 2 * bytesMax) throw new MalformedDatum('a block has no such size')
      const records = await unpacked(await file.take(dataBytes), bytesMax)
      if (!(await file.take(SYNC_BYTES)).equals(sync)) throw new MalformedDatum('a block ends elsewhere')
      yield* linesOf(records, count)
    }
  } finally {
    await chunks.return?.()
  }
}

async function unpacked(data: Buffer, bytesMax: number): Promise<Buffer> {
  try {
    return await inflate(data, { maxOutputLength: bytesMax })
  } catch (cause) {
    throw new MalformedDatum('a block cannot be unpacked', { cause })
  }
}

/** The lines of a block. */
function* linesOf(records: Buffer, count: number): Generator<Buffer> {
  const reader = new DatumReader(records, 0)
  let lines: Buffer[] = []
  let size = 0
  for (let i = 0; i < count; i += 1) {
    const line = lineOfRecord(reader)
    lines.push(line)
    size += line.length
    if (size < PIECE_BYTES) continue
    yield Buffer.concat(lines, size)
    lines = []
    size = 0
  }
  if (!reader.atEnd) throw new MalformedDatum('a block has more than its records')
  if (size > 0) yield Buffer.concat(lines, size)
}

/** A number at the front. */
async function longOf(file: StreamFront): Promise<number> {
  const bytes: number[] = []
  do bytes.push((await file.take(1))[0] ?? 0)
  while ((bytes.at(-1) ?? 0) >= 0x80 && bytes.length < longBytesMax)
  return new DatumReader(Buffer.from(bytes), 0).long()
}

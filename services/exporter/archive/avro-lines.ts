import { promisify } from 'node:util'
import { inflateRaw } from 'node:zlib'
import { AppError } from '../../shared/errors.ts'
import { DatumReader, longBytesMax, MalformedDatum } from '../../shared/events/wire.ts'
import { eventsOf } from '../domain/lines.ts'
import { avroFile, type AvroRecord, fileHead, readSchema, SYNC_BYTES } from '../formats/avro-container.ts'
import { avroRecord, lineOfRecord } from './avro-record.ts'

const SCHEMA = readSchema('archived-event.v1.avsc')
const HEAD = fileHead(SCHEMA)
/** Of a block's records: four times what it has with the largest event that can be recorded. */
const BLOCK_BYTES_MAX = 64 << 20
/** Lines are given in pieces of this size and the line that goes past it. */
const PIECE_BYTES = 256 << 10

const inflate = promisify(inflateRaw)

/** Lines of the archive as an Avro object container file: a function of the lines, whatever pieces they come in. */
export function avroOfLines(lines: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  async function* records(): AsyncGenerator<readonly AvroRecord[]> {
    for await (const batch of eventsOf(lines, notOurs)) yield batch.map(avroRecord)
  }
  return avroFile(SCHEMA, records())
}

const notOurs = (): AppError => new AppError('InternalServerError', 'A line for the archive is none of its own.')

/**
 * The lines that `avroOfLines` made the file of; `linesBytes`, how many bytes they have, bounds what a block may claim. Throws
 * MalformedDatum for what is no such file, and what `stored` throws.
 */
export async function* linesOfAvro(stored: AsyncIterable<Buffer>, linesBytes: number): AsyncGenerator<Buffer> {
  const bytesMax = Math.min(linesBytes, BLOCK_BYTES_MAX) // a record is shorter than its line
  const chunks = stored[Symbol.asyncIterator]()
  const file = new FileReader(chunks)
  try {
    // Ours have one head. Another one is damage, or somebody else's: nothing of it has to be understood.
    if (!(await file.take(HEAD.length)).equals(HEAD)) throw new MalformedDatum('begins as no file of ours')
    const sync = await file.take(SYNC_BYTES)
    while (!(await file.isAtEnd())) {
      const count = await file.long()
      const dataBytes = await file.long()
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

/** Takes bytes off a stream's front. */
class FileReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(chunks: AsyncIterator<Buffer>) {
    this.#chunks = chunks
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done === true) return true
      this.#rest = next.value
    }
    return false
  }

  /** What is claimed and not there takes no memory: bytes are gathered as they come. */
  async take(bytes: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let missing = bytes; missing > 0; ) {
      if (await this.isAtEnd()) throw new MalformedDatum('ends too early')
      const piece = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(piece.length)
      missing -= piece.length
      pieces.push(piece)
    }
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)
  }

  async long(): Promise<number> {
    const bytes: number[] = []
    do bytes.push((await this.take(1))[0] ?? 0)
    while ((bytes.at(-1) ?? 0) >= 0x80 && bytes.length < longBytesMax)
    return new DatumReader(Buffer.from(bytes), 0).long()
  }
}

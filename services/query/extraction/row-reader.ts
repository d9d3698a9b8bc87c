import { AppError } from '../../shared/errors.ts'

/** An event as `compileExtraction`'s statement gives it. */
export interface ExtractedRow {
  readonly timestampMs: number
  readonly createdAtMs: number
  readonly id: string
  /** JSON text of an object. */
  readonly body: string
}

/** What one batch holds at most: enough to be worth the call, little enough for others to get their turn in between. */
const BATCH_ROWS = 500
const BATCH_BYTES = 256 << 10

/**
 * Rows in ClickHouse's RowBinary format (Int64, Int64, String, String), in batches. Holds one chunk and the row that
 * goes past its end. Throws WAREHOUSE_UNAVAILABLE when the bytes end within a row.
 */
export async function* readRows(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly ExtractedRow[]> {
  let rest: Buffer[] = []
  let restBytes = 0
  let wanted = 0
  for await (const chunk of chunks) {
    rest.push(chunk)
    restBytes += chunk.length
    // A row longer than a chunk is put together once, not once a chunk.
    if (restBytes < wanted) continue
    const bytes = rest.length === 1 ? chunk : Buffer.concat(rest)
    let at = 0
    let batch: ExtractedRow[] = []
    let batchStart = 0
    for (;;) {
      const read = readRow(bytes, at)
      if (typeof read === 'number') {
        wanted = read
        break
      }
      batch.push(read.row)
      at = read.end
      if (batch.length < BATCH_ROWS && at - batchStart < BATCH_BYTES) continue
      yield batch
      batch = []
      batchStart = at
    }
    if (batch.length > 0) yield batch
    rest = at === bytes.length ? [] : [bytes.subarray(at)]
    restBytes = bytes.length - at
  }
  if (restBytes > 0) throw new AppError('WAREHOUSE_UNAVAILABLE', 'The warehouse ended its answer within a row.')
}

/** The row at `start` and where it ends; or, when it is not all there, how many bytes from `start` are needed to go on. */
function readRow(bytes: Buffer, start: number): { readonly row: ExtractedRow; readonly end: number } | number {
  if (start + 17 > bytes.length) return 17
  const id = readSpan(bytes, start + 16)
  if (id === undefined) return bytes.length - start + 1
  if (id.end > bytes.length) return id.end - start + 1
  const body = readSpan(bytes, id.end)
  if (body === undefined) return bytes.length - start + 1
  if (body.end > bytes.length) return body.end - start
  return {
    row: {
      timestampMs: int64(bytes, start),
      createdAtMs: int64(bytes, start + 8),
      id: bytes.toString('latin1', id.start, id.end),
      body: bytes.toString('utf8', body.start, body.end),
    },
    end: body.end,
  }
}

const int64 = (bytes: Buffer, at: number): number => bytes.readInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at)

/** A String: its length as LEB128, then its bytes. Undefined when the length is not all there. */
function readSpan(bytes: Buffer, at: number): { readonly start: number; readonly end: number } | undefined {
  let length = 0
  for (let i = 0; ; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) return undefined
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return { start: at + i + 1, end: at + i + 1 + length }
  }
}

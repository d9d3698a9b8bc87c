import { constants, zstdCompressSync } from 'node:zlib'
import { ParquetWriter } from 'hyparquet-writer'
import { ChunkWriter } from './chunk-writer.ts'
import type { FileEvents, WholeFormat, Kept, KnownColumns } from './format.ts'
import { ZSTD_LEVEL } from './json-lines.ts'
import { learnColumns } from './learn-columns.ts'
import { RowGroup } from './row-group.ts'

/** Not the version of this program: the same events are the same file after an upgrade. In the form Java's reader parses. */
const CREATED_BY = 'tributary version 1'

/**
 * A Parquet file, Zstandard within, with the bounds and null counts of every column chunk. Columns: `keen.timestamp` and
 * `keen.created_at` (milliseconds, UTC), `keen.id` (text), then those of the properties (see PropertyColumns) in types by
 * `columnType`, then `_rest` where something needs it. Names of nested properties are dotted, not structs: a property that
 * is an object in one event and a number in the next has no struct, and every reader selects and prunes flat columns.
 */
export const parquetFile: WholeFormat = {
  kind: 'whole',
  name: 'parquet',
  extension: 'parquet',
  contentType: 'application/vnd.apache.parquet',
  hasColumns: true,
  encode: encodeParquet,
}

async function* encodeParquet(
  events: FileEvents,
  keep?: (kept: Kept) => void,
  known?: KnownColumns,
): AsyncGenerator<Buffer> {
  const properties = await learnColumns(events, known)
  const group = new RowGroup(properties)
  const out = new ChunkWriter()
  const writer = new ParquetWriter({
    writer: out,
    schema: [...group.schema],
    codec: 'ZSTD',
    compressors: { ZSTD: compress },
    createdBy: CREATED_BY,
  })
  const writeGroup = async (): Promise<Buffer> => {
    await writer.write({ columnData: [...group.columns], rowGroupSize: group.rows })
    group.clear()
    return out.take()
  }
  for await (const batch of events()) {
    for (const event of batch) {
      group.add(event)
      if (group.isFull) yield await writeGroup()
    }
  }
  if (group.rows > 0) yield await writeGroup()
  await writer.finish()
  yield out.take()
  keep?.(group.kept.counts())
}

const compress = (bytes: Uint8Array): Uint8Array =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } })

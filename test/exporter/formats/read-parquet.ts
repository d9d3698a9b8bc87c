import { zstdDecompressSync } from 'node:zlib'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'

export interface ReadParquet {
  /** Columns in their order: BOOLEAN, INT64, DOUBLE, TEXT. */
  readonly types: Readonly<Record<string, string>>
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

/** A Parquet file as another reader sees it. */
export async function readParquet(bytes: Buffer): Promise<ReadParquet> {
  const file = new Uint8Array(bytes).buffer
  const rows = await parquetReadObjects({ file, compressors: { ZSTD: (input) => zstdDecompressSync(input) } })
  const [, ...leaves] = parquetMetadata(file).schema
  const types = leaves.map(({ name, type, logical_type }): [string, string] => [
    name,
    logical_type?.type === 'STRING' ? 'TEXT' : String(type),
  ])
  return { types: Object.fromEntries(types), rows }
}

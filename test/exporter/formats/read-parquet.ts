import { zstdDecompressSync } from 'node:zlib'
import { parquetMetadata, parquetRead } from 'hyparquet'

export interface ReadParquet {
  /** Columns in their order: BOOLEAN, INT64, DOUBLE, TEXT. */
  readonly types: Readonly<Record<string, string>>
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

/** A Parquet file as another reader sees it. */
export async function readParquet(bytes: Buffer): Promise<ReadParquet> {
  const file = new Uint8Array(bytes).buffer
  const [, ...leaves] = parquetMetadata(file).schema
  const types = leaves.map(({ name, type, logical_type }): [string, string] => [
    name,
    logical_type?.type === 'STRING' ? 'TEXT' : String(type),
  ])
  // As lists: the reader's own objects have no property `__proto__`.
  const { promise, resolve } = Promise.withResolvers<readonly (readonly unknown[])[]>()
  await parquetRead({ file, compressors: { ZSTD: (input) => zstdDecompressSync(input) }, onComplete: resolve })
  const rows = (await promise).map((row) => Object.fromEntries(types.map(([name], i) => [name, row[i]])))
  return { types: Object.fromEntries(types), rows }
}

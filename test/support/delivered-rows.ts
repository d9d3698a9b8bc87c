import { execFile } from 'node:child_process'
import { zstdDecompressSync } from 'node:zlib'
import { parquetReadObjects } from 'hyparquet'

/** What other people's readers find in a delivered file of JSON lines or of Parquet, by its name. */
export async function rowsOf(key: string, bytes: Buffer): Promise<readonly Record<string, unknown>[]> {
  if (key.endsWith('.parquet')) {
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer
    return parquetReadObjects({ file, compressors: { ZSTD: (input) => zstdDecompressSync(input) } })
  }
  const text = key.endsWith('.zst') ? zstdDecompressSync(bytes).toString() : await zcat(bytes)
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** What `gzip -dc` makes of it. */
export async function zcat(bytes: Buffer): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const child = execFile('gzip', ['-dc'], { maxBuffer: 1 << 30 }, (error, stdout) => {
    if (error === null) resolve(stdout)
    else reject(error instanceof Error ? error : new Error('gzip failed'))
  })
  child.stdin?.end(bytes)
  return promise
}

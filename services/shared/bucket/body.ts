import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Bucket, ObjectBody } from './port.ts'

/** Bytes in memory as an object's body. */
export const bodyOf = (content: Buffer | string): ObjectBody => {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  return { bytes: bytes.length, open: () => Readable.from([bytes], { objectMode: false }) }
}

/** All bytes of a small object; undefined when there is none. Rejects as `Bucket.get` does. */
export async function readWhole(bucket: Bucket, key: string, signal: AbortSignal): Promise<Buffer | undefined> {
  const stream = await bucket.get(key, signal)
  return stream === undefined ? undefined : buffer(stream)
}

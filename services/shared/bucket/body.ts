import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Bucket, ObjectBody } from './port.ts'

/** Bytes in memory as an object's body. */
export const bodyOf = (bytes: Buffer | string): ObjectBody => {
  const whole = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  return { bytes: whole.length, open: () => Readable.from([whole], { objectMode: false }) }
}

/** All bytes of a small object; undefined when there is none. Rejects as `Bucket.get` does. */
export async function readWhole(bucket: Bucket, key: string, signal: AbortSignal): Promise<Buffer | undefined> {
  const stream = await bucket.get(key, { signal })
  return stream === undefined ? undefined : buffer(stream)
}

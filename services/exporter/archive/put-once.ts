import { createHash } from 'node:crypto'
import type { Bucket, ObjectBody } from '../../shared/bucket/port.ts'
import { hasCode } from '../../shared/errors.ts'

/** Of an object of ours, in its metadata: what its content is, so that a second attempt knows its own. */
export interface ObjectStamp {
  /** Of the bytes as they are stored. */
  readonly sha256: string
  /** Of what they hold, whatever compressed it. */
  readonly contentSha256: string
}

export type PutOutcome =
  | { readonly outcome: 'written' }
  /** It is there already with this content: an earlier attempt's. Its bytes may differ, when another version compressed them. */
  | { readonly outcome: 'matched'; readonly bytes: number; readonly sha256: string }
  /** Something else has its name. */
  | { readonly outcome: 'mismatched' }

export interface PutOnceOptions {
  readonly contentType: string
  readonly signal: AbortSignal
}

/** Writes an object, or finds that an earlier attempt has. Never replaces anything. Rejects as `Bucket.put` does, conflicts aside. */
export async function putOnce(
  bucket: Bucket,
  key: string,
  body: ObjectBody,
  stamp: ObjectStamp,
  { contentType, signal }: PutOnceOptions,
): Promise<PutOutcome> {
  const metadata = { 'content-sha256': stamp.contentSha256, sha256: stamp.sha256 }
  try {
    await bucket.put(key, body, { contentType, metadata, signal })
    return { outcome: 'written' }
  } catch (error) {
    if (!hasCode(error, 'BUCKET_CONFLICT')) throw error
  }
  const found = await bucket.head(key, signal)
  const { 'content-sha256': content, sha256 } = found?.metadata ?? {}
  if (found !== undefined && content !== undefined && sha256 !== undefined) {
    if (content !== stamp.contentSha256) return { outcome: 'mismatched' }
    return { outcome: 'matched', bytes: found.bytes, sha256 }
  }
  // Its metadata got lost (a copy, another tool): its bytes say what it is.
  const stored = await hashOf(bucket, key, signal)
  if (stored?.sha256 !== stamp.sha256) return { outcome: 'mismatched' }
  return { outcome: 'matched', ...stored }
}

async function hashOf(
  bucket: Bucket,
  key: string,
  signal: AbortSignal,
): Promise<{ bytes: number; sha256: string } | undefined> {
  const stream = await bucket.get(key, signal)
  if (stream === undefined) return undefined
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of stream) {
    hash.update(chunk as Buffer)
    bytes += (chunk as Buffer).length
  }
  return { bytes, sha256: hash.digest('hex') }
}

import { AbortMultipartUploadCommand, ListMultipartUploadsCommand, type S3Client } from '@aws-sdk/client-s3'
import { asBucketError } from './errors.ts'

export interface Sweep {
  readonly bucket: string
  /** Only uploads of keys that start so. */
  readonly prefix: string
  /** Only uploads that were begun before. Far enough back that none of them can still be under way: a day is. */
  readonly before: Date
  readonly signal: AbortSignal
}

/**
 * Removes the parts of uploads that were begun and never ended, as a process leaves them that dies in the middle: they
 * are no objects, and cost money. Gives how many there were. Rejects as the calls of a `Bucket` do.
 */
export async function sweepUploads(client: S3Client, sweep: Sweep): Promise<number> {
  const { bucket: Bucket, prefix: Prefix, before, signal: abortSignal } = sweep
  let swept = 0
  try {
    for (let markers = {}, isLast = false; !isLast; ) {
      const found = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix, ...markers }), { abortSignal })
      for (const { Key, UploadId, Initiated } of found.Uploads ?? []) {
        if (Initiated === undefined || Initiated >= before) continue
        await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), { abortSignal }).catch(ignoreGone)
        swept += 1
      }
      markers = { KeyMarker: found.NextKeyMarker, UploadIdMarker: found.NextUploadIdMarker }
      isLast = found.IsTruncated !== true
    }
  } catch (error) {
    throw asBucketError(error)
  }
  return swept
}

/** Ended by somebody else, between the listing and now. */
function ignoreGone(error: unknown): void {
  if ((error as Error).name !== 'NoSuchUpload') throw error
}

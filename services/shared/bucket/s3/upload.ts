import {
  AbortMultipartUploadCommand,
  type AbortMultipartUploadCommandInput,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ObjectBody } from '../port.ts'
import { pieces } from '../streams.ts'
import { asBucketError } from './errors.ts'

const PARTS_AT_ONCE = 2
/** More are not taken. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const PARTS_MAX = 10_000
/** For telling the service that an upload came to nothing. Nobody waits longer; `sweepUploads` finds what remains. */
const CLEAN_UP_MS = 2_000
const CLEAN_UP_PAUSE_MS = 100

export interface S3Upload {
  readonly client: S3Client
  readonly target: Omit<PutObjectCommandInput, 'Body' | 'IfNoneMatch'>
  readonly body: ObjectBody
  readonly partBytes: number
  readonly signal: AbortSignal
}

/**
 * Writes an object where there is none, in one request or in parts. Every request ends with the signal, and no
 * part is begun once another has failed. Rejects with what the SDK or the body threw.
 */
export async function uploadToS3({ client, target, body, partBytes, signal }: S3Upload): Promise<void> {
  const size = Math.max(partBytes, Math.ceil(body.bytes / PARTS_MAX))
  const from = body.open()
  // A body that fails between two reads must not end the process; whoever reads next is told.
  from.on('error', () => {})
  const onAbort = (): void => void from.destroy(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    const parts = pieces(from, size, body.bytes)
    if (body.bytes > size) return await inParts(client, target, parts, { signal, stop: () => from.destroy() })
    for await (const bytes of parts) {
      const command = new PutObjectCommand({ ...target, IfNoneMatch: '*', Body: bytes })
      await client.send(command, { abortSignal: signal })
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    from.destroy()
  }
}

async function inParts(
  client: S3Client,
  target: S3Upload['target'],
  parts: AsyncGenerator<Buffer>,
  { signal, stop }: { readonly signal: AbortSignal; readonly stop: () => void },
): Promise<void> {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ ...target, ChecksumAlgorithm: 'CRC32' }), {
    abortSignal: signal,
  })
  const place = { Bucket: target.Bucket, Key: target.Key, UploadId }
  try {
    const sent: CompletedPart[] = []
    const failures: unknown[] = []
    let next = 1
    const sendParts = async (): Promise<void> => {
      try {
        while (failures.length === 0) {
          const part = await parts.next()
          if (part.done === true) return
          const PartNumber = next++
          const command = new UploadPartCommand({
            ...place,
            PartNumber,
            Body: part.value,
            ChecksumAlgorithm: 'CRC32',
          })
          const { ETag, ChecksumCRC32 } = await client.send(command, { abortSignal: signal })
          sent.push({ PartNumber, ETag, ...(ChecksumCRC32 !== undefined && { ChecksumCRC32 }) })
        }
      } catch (error) {
        failures.push(error)
        stop()
      }
    }
    // A part that is under way when another fails goes on to its end: cut off, it could still arrive after the upload was
    // abandoned, and stay.
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, sendParts))
    if (failures.length > 0) throw failures[0]
    const Parts = sent.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0))
    const command = new CompleteMultipartUploadCommand({ ...place, IfNoneMatch: '*', MultipartUpload: { Parts } })
    await client.send(command, { abortSignal: signal })
  } catch (error) {
    await abandon(client, place)
    throw error
  }
}

/**
 * Parts of an upload that came to nothing are kept, and paid for, until somebody removes them. A part that the service is
 * still taking in may get in the way of the first try.
 */
async function abandon(client: S3Client, place: AbortMultipartUploadCommandInput): Promise<void> {
  const abortSignal = AbortSignal.timeout(CLEAN_UP_MS)
  while (!abortSignal.aborted) {
    try {
      await client.send(new AbortMultipartUploadCommand(place), { abortSignal })
      return
    } catch (error) {
      if (asBucketError(error).code === 'BUCKET_REFUSED' || (error as Error).name === 'NoSuchUpload') return
      await sleep(CLEAN_UP_PAUSE_MS)
    }
  }
}

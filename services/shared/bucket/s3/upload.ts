import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { ObjectBody } from '../port.ts'
import { pieces } from '../streams.ts'

const PARTS_AT_ONCE = 2
/** More are not taken. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const PARTS_MAX = 10_000
/** For telling the service that an upload came to nothing. Nobody waits longer; `sweepUploads` finds what remains. */
const CLEAN_UP_MS = 2_000

export interface S3Upload {
  readonly client: S3Client
  readonly target: Omit<PutObjectCommandInput, 'Body' | 'IfNoneMatch'>
  readonly body: ObjectBody
  readonly partBytes: number
  readonly signal: AbortSignal
}

/**
 * Writes an object where there is none, in one request or in parts. Every request ends with the signal, and the first
 * one that fails ends the others. Rejects with what the SDK or the body threw.
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
    const failed = new AbortController()
    const sending = AbortSignal.any([signal, failed.signal])
    const sent: CompletedPart[] = []
    let next = 1
    const sendParts = async (): Promise<void> => {
      try {
        for (;;) {
          const part = await parts.next()
          if (part.done === true || sending.aborted) return
          const PartNumber = next++
          const command = new UploadPartCommand({
            ...place,
            PartNumber,
            Body: part.value,
            ChecksumAlgorithm: 'CRC32',
          })
          const { ETag, ChecksumCRC32 } = await client.send(command, { abortSignal: sending })
          sent.push({ PartNumber, ETag, ...(ChecksumCRC32 !== undefined && { ChecksumCRC32 }) })
        }
      } catch (error) {
        failed.abort(error)
        stop()
        throw error
      }
    }
    const ends = await Promise.allSettled(Array.from({ length: PARTS_AT_ONCE }, sendParts))
    signal.throwIfAborted()
    // The others broke off because of the first, whose reason is the one to tell.
    if (failed.signal.aborted) throw failed.signal.reason
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    const Parts = sent.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0))
    const command = new CompleteMultipartUploadCommand({ ...place, IfNoneMatch: '*', MultipartUpload: { Parts } })
    await client.send(command, { abortSignal: signal })
  } catch (error) {
    // Parts of an upload that came to nothing are kept, and paid for, until somebody removes them.
    const patience = AbortSignal.timeout(CLEAN_UP_MS)
    await client.send(new AbortMultipartUploadCommand(place), { abortSignal: patience }).catch(() => {})
    throw error
  }
}

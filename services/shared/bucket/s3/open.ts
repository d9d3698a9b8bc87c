import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3'
import { Readable } from 'node:stream'
import { checkKey } from '../key.ts'
import type { Bucket, ListedObject } from '../port.ts'
import { arriving, checkContentRange, rangeHeader } from '../streams.ts'
import { createS3Client, S3_SILENCE_MS } from './client.ts'
import { asBucketError, statusOf } from './errors.ts'
import type { S3Settings } from './settings.ts'
import { uploadToS3 } from './upload.ts'

/** A bucket of Amazon S3, or of a service that speaks its protocol and takes conditional writes (`If-None-Match`). */
export function openS3Bucket(settings: S3Settings): Bucket {
  const client = createS3Client(settings)
  const { bucket: Bucket, encryption } = settings
  const encrypted = encryption && {
    ServerSideEncryption: encryption.kind,
    ...(encryption.kind === 'aws:kms' && encryption.keyId !== undefined && { SSEKMSKeyId: encryption.keyId }),
  }
  /** A missing object and a missing bucket are one status to a HEAD, which has no body to tell them apart. */
  const absent = async (cause: unknown, abortSignal: AbortSignal): Promise<undefined> => {
    if (statusOf(cause) !== 404 || (cause as Error).name === 'NoSuchBucket') throw cause
    if ((cause as Error).name !== 'NoSuchKey') {
      await client.send(new HeadBucketCommand({ Bucket }), { abortSignal }).catch((reason: unknown) => {
        throw statusOf(reason) === 404 ? Object.assign(reason as Error, { name: 'NoSuchBucket' }) : reason
      })
    }
    return undefined
  }

  return {
    kind: 's3',
    description: `s3://${Bucket}`,

    async put(key, body, { contentType, metadata = {}, signal }) {
      checkKey(key)
      const target = { Bucket, Key: key, ContentType: contentType, Metadata: { ...metadata }, ...encrypted }
      try {
        await uploadToS3({ client, target, body, partBytes: settings.partBytes, signal })
      } catch (error) {
        throw asBucketError(error)
      }
    },

    async head(key, abortSignal) {
      checkKey(key)
      try {
        const found = await client
          .send(new HeadObjectCommand({ Bucket, Key: key }), { abortSignal })
          .catch((error: unknown) => absent(error, abortSignal))
        return found && { key, bytes: found.ContentLength ?? 0, metadata: found.Metadata ?? {} }
      } catch (error) {
        throw asBucketError(error)
      }
    },

    async get(key, abortSignal, range) {
      checkKey(key)
      const asked = { Bucket, Key: key, ...(range !== undefined && { Range: rangeHeader(range) }) }
      try {
        const found = await client
          .send(new GetObjectCommand(asked), { abortSignal })
          .catch((error: unknown) => absent(error, abortSignal))
        if (found === undefined) return undefined
        const body = found.Body instanceof Readable ? found.Body : Readable.from([])
        const stream = arriving(body, {
          bytes: range?.bytes ?? found.ContentLength,
          silenceMs: settings.silenceMs ?? S3_SILENCE_MS,
          signal: abortSignal,
          translate: asBucketError,
        })
        if (range !== undefined) checkContentRange(stream, found.ContentRange, range)
        return stream
      } catch (error) {
        throw asBucketError(error)
      }
    },

    async *list(prefix, { after, signal: abortSignal }): AsyncGenerator<ListedObject> {
      for (let token: string | undefined, isLast = false; !isLast; ) {
        const page = { Bucket, Prefix: prefix, ...(after !== undefined && { StartAfter: after }) }
        const command = new ListObjectsV2Command({ ...page, ...(token !== undefined && { ContinuationToken: token }) })
        const found = await client.send(command, { abortSignal }).catch((error: unknown) => {
          throw asBucketError(error)
        })
        for (const { Key: key = '', Size: bytes = 0 } of found.Contents ?? []) yield { key, bytes }
        token = found.NextContinuationToken
        isLast = token === undefined
      }
    },

    async delete(key, abortSignal) {
      checkKey(key)
      await client.send(new DeleteObjectCommand({ Bucket, Key: key }), { abortSignal }).catch((error: unknown) => {
        throw asBucketError(error)
      })
    },

    close: async () => client.destroy(),
  }
}

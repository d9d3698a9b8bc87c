import { IdempotencyStrategy, Storage, type StorageOptions } from '@google-cloud/storage'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { checkKey } from '../key.ts'
import type { Bucket, ListedObject, ObjectMetadata } from '../port.ts'
import { failingWith } from '../streams.ts'
import { asBucketError, isNoBucket, noBucket, statusOf } from './errors.ts'
import type { GcsSettings } from './settings.ts'

const PAGE = 1_000
const RETRIES = 3
/** For one call with its retries. */
const PATIENCE_S = 60

/** Only Google is shown a token of Google's: it opens more than the one bucket. */
const isGoogles = (endpoint: string | undefined): boolean =>
  endpoint !== undefined && /^https:\/\/[^/:@]+\.googleapis\.com$/.test(endpoint)

function signedAs({ credentials, endpoint }: GcsSettings): StorageOptions {
  switch (credentials.kind) {
    case 'ambient':
      return {}
    case 'anonymous':
      return { projectId: 'none', useAuthWithCustomEndpoint: false }
    case 'static':
      return {
        credentials: { client_email: credentials.clientEmail, private_key: credentials.privateKey },
        useAuthWithCustomEndpoint: isGoogles(endpoint),
      }
    default:
      return credentials satisfies never
  }
}

/** A bucket of Google Cloud Storage. Every write names the generation 0, so that nothing is ever replaced. */
export function openGcsBucket(settings: GcsSettings): Bucket {
  const storage = new Storage({
    ...signedAs(settings),
    ...(settings.endpoint !== undefined && { apiEndpoint: settings.endpoint }),
    retryOptions: {
      autoRetry: true,
      maxRetries: RETRIES,
      totalTimeout: PATIENCE_S,
      idempotencyStrategy: IdempotencyStrategy.RetryConditional,
    },
  })
  const bucket = storage.bucket(settings.bucket)
  const file = (key: string) => {
    checkKey(key)
    return bucket.file(key)
  }

  /** A missing object and a missing bucket may be answered alike. */
  const explained = async (cause: unknown): Promise<Error> => {
    const isBucketThere = statusOf(cause) !== 404 || (await bucket.exists().catch(() => [true]))[0]
    return isBucketThere ? asBucketError(cause) : noBucket(cause)
  }
  const absent = async (error: unknown): Promise<undefined> => {
    const reason = await explained(error)
    if (statusOf(error) === 404 && !isNoBucket(reason)) return undefined
    throw reason
  }

  return {
    kind: 'gcs',
    description: `gs://${settings.bucket}`,

    async put(key, body, { contentType, metadata = {}, signal }) {
      const isLarge = body.bytes > settings.chunkBytes
      const target = file(key).createWriteStream({
        resumable: isLarge,
        ...(isLarge && { chunkSize: settings.chunkBytes }),
        contentType,
        metadata: { metadata: { ...metadata } },
        preconditionOpts: { ifGenerationMatch: 0 },
        validation: 'crc32c',
        ...(settings.kmsKeyName !== undefined && { kmsKeyName: settings.kmsKeyName }),
      })
      try {
        await pipeline(body.open(), target, { signal })
      } catch (error) {
        throw await explained(error)
      }
    },

    async head(key) {
      try {
        const [found] = await file(key).getMetadata()
        return { key, bytes: Number(found.size ?? 0), metadata: (found.metadata ?? {}) as ObjectMetadata }
      } catch (error) {
        return absent(error)
      }
    },

    async get(key, signal) {
      const stream = file(key).createReadStream({ decompress: false })
      const onAbort = (): void => void stream.destroy(signal.reason as Error)
      signal.addEventListener('abort', onAbort, { once: true })
      stream.once('close', () => signal.removeEventListener('abort', onAbort))
      try {
        await answered(stream)
        return failingWith(asBucketError, stream)
      } catch (error) {
        return absent(error)
      }
    },

    async *list(prefix, { after = '', signal }): AsyncGenerator<ListedObject> {
      let pageToken: string | undefined
      do {
        signal.throwIfAborted()
        const page = {
          prefix,
          startOffset: after,
          maxResults: PAGE,
          autoPaginate: false,
          ...(pageToken && { pageToken }),
        }
        const [files, next] = await bucket.getFiles(page).catch(async (error: unknown) => {
          throw await explained(error)
        })
        for (const { name: key, metadata } of files) {
          // The service begins with the offset itself.
          if (key !== after) yield { key, bytes: Number(metadata.size ?? 0) }
        }
        pageToken = (next as { pageToken?: string } | null)?.pageToken
      } while (pageToken !== undefined)
    },

    async delete(key) {
      try {
        await file(key).delete()
      } catch (error) {
        await absent(error)
      }
    },

    close: async () => {},
  }
}

/** Resolves once bytes are on their way; the stream is asked for once somebody reads. Rejects with what the service answered. */
function answered(stream: Readable): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  stream.once('response', ({ statusCode = 0 }: { statusCode?: number }) => {
    if (statusCode < 400) resolve() // otherwise the error is still to come, with what the answer's body says
  })
  stream.once('error', reject)
  stream.pause()
  stream.read(0)
  return promise
}

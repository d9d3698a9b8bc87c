import { CRC32C } from '@google-cloud/storage'
import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '../../errors.ts'
import { checkKey } from '../key.ts'
import type { Bucket, ListedObject, ObjectMetadata } from '../port.ts'
import { type ArrivingBytes, arriving, checkContentRange, rangeHeader } from '../streams.ts'
import { asBucketError, isNoBucket, noBucket, statusOf } from './errors.ts'
import { createGcsHttp } from './http.ts'
import type { GcsSettings } from './settings.ts'
import { uploadToGcs } from './upload.ts'

const PAGE = 1_000

interface ObjectResource {
  readonly name: string
  readonly size?: string
  readonly metadata?: ObjectMetadata
}

/** A bucket of Google Cloud Storage. Every write names the generation 0, so that nothing is ever replaced. */
export function openGcsBucket(settings: GcsSettings): Bucket {
  const http = createGcsHttp(settings)
  const place = `/storage/v1/b/${encodeURIComponent(settings.bucket)}`
  const placeOf = (key: string): string => {
    checkKey(key)
    return `${place}/o/${encodeURIComponent(key)}`
  }

  /** A missing object and a missing bucket may be answered alike. */
  const explained = async (cause: unknown, signal: AbortSignal): Promise<Error> => {
    if (cause instanceof AppError || statusOf(cause) !== 404) return asBucketError(cause)
    try {
      await http.retry(signal, async () =>
        http.ask({ method: 'GET', url: http.url(place, { fields: 'name' }), signal }),
      )
    } catch (error) {
      if (statusOf(error) === 404) return noBucket(cause)
      // Who may read objects need not be one who may see the bucket.
      if (asBucketError(error).code === 'BUCKET_UNAVAILABLE') return asBucketError(error)
    }
    return asBucketError(cause)
  }
  const absent = async (error: unknown, signal: AbortSignal): Promise<undefined> => {
    const reason = await explained(error, signal)
    if (statusOf(error) === 404 && !isNoBucket(reason) && !hasPassing(reason)) return undefined
    throw reason
  }

  return {
    kind: 'gcs',
    description: `gs://${settings.bucket}`,

    async put(key, body, { contentType, metadata = {}, signal }) {
      checkKey(key)
      const { bucket, kmsKeyName, chunkBytes } = settings
      try {
        await uploadToGcs({ http, bucket, key, contentType, metadata, kmsKeyName, body, chunkBytes, signal })
      } catch (error) {
        throw await explained(error, signal)
      }
    },

    async head(key, signal) {
      const url = http.url(placeOf(key), { fields: 'name,size,metadata' })
      try {
        const { text } = await http.retry(signal, async () => http.ask({ method: 'GET', url, signal }))
        const { size = '0', metadata = {} } = JSON.parse(text) as ObjectResource
        return { key, bytes: Number(size), metadata }
      } catch (error) {
        return absent(error, signal)
      }
    },

    async get(key, signal, range) {
      const url = http.url(placeOf(key), { alt: 'media' })
      // Takes an object as it is stored: the service would unpack one that somebody marked as packed.
      const headers = {
        'accept-encoding': 'gzip',
        'cache-control': 'no-store',
        ...(range !== undefined && { range: rangeHeader(range) }),
      }
      try {
        const answer = await http.retry(signal, async () => http.stream({ method: 'GET', url, headers, signal }))
        const length = answer.headers['content-length']
        const stream = arriving(answer, {
          bytes: range?.bytes ?? (length === undefined ? undefined : Number(length)),
          silenceMs: http.silenceMs,
          signal,
          translate: asBucketError,
          ...(range === undefined && checksumOf(answer.headers)), // it is of the whole object
        })
        if (range !== undefined) checkContentRange(stream, answer.headers['content-range'], range)
        return stream
      } catch (error) {
        return absent(error, signal)
      }
    },

    async *list(prefix, { after = '', signal }): AsyncGenerator<ListedObject> {
      let pageToken: string | undefined
      do {
        const query = { prefix, startOffset: after || undefined, maxResults: `${PAGE}`, pageToken }
        const url = http.url(`${place}/o`, { ...query, fields: 'items(name,size),nextPageToken' })
        const page = await http
          .retry(signal, async () => http.ask({ method: 'GET', url, signal }))
          .catch(async (error: unknown) => {
            throw await explained(error, signal)
          })
        const found = JSON.parse(page.text) as { items?: readonly ObjectResource[]; nextPageToken?: string }
        for (const { name: key, size = '0' } of found.items ?? []) {
          // The service begins with the offset itself.
          if (key !== after) yield { key, bytes: Number(size) }
        }
        pageToken = found.nextPageToken
      } while (pageToken !== undefined && pageToken !== '')
    },

    async delete(key, signal) {
      const url = http.url(placeOf(key))
      try {
        await http.retry(signal, async () => http.ask({ method: 'DELETE', url, signal }))
      } catch (error) {
        await absent(error, signal)
      }
    },

    close: async () => http.close(),
  }
}

const hasPassing = (error: Error): boolean => error instanceof AppError && error.code === 'BUCKET_UNAVAILABLE'

/** The service says the checksum of what is stored, which is what comes unless it was unpacked on the way. */
function checksumOf(headers: IncomingHttpHeaders): Pick<ArrivingBytes, 'checksum'> {
  const hashes = String(headers['x-goog-hash'] ?? '')
  const expected = /crc32c=([^,\s]+)/.exec(hashes)?.[1]
  const isAsStored = headers['x-goog-stored-content-encoding'] === (headers['content-encoding'] ?? 'identity')
  if (expected === undefined || !isAsStored) return {}
  const checksum = new CRC32C()
  return { checksum: { update: (chunk) => checksum.update(chunk), isRight: () => checksum.validate(expected) } }
}

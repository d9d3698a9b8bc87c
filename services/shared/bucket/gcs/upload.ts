import { CRC32C } from '@google-cloud/storage'
import { randomUUID } from 'node:crypto'
import { AppError } from '../../errors.ts'
import type { ObjectBody } from '../port.ts'
import { pieces } from '../streams.ts'
import { GcsError, statusOf } from './errors.ts'
import type { GcsAnswer, GcsHttp } from './http.ts'

/** For telling the service that an upload came to nothing. Nobody waits longer; it forgets one after a week. */
const CLEAN_UP_MS = 2_000

export interface GcsUpload {
  readonly http: GcsHttp
  readonly bucket: string
  readonly key: string
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
  readonly kmsKeyName: string | undefined
  readonly body: ObjectBody
  readonly chunkBytes: number
  readonly signal: AbortSignal
}

interface Stored {
  readonly size?: string
  readonly crc32c?: string
  readonly generation?: string
}

/** Writes an object where there is none, in one request or resumably. Rejects with what the service, the connection or the body threw. */
export async function uploadToGcs(upload: GcsUpload): Promise<void> {
  const { body, chunkBytes, signal } = upload
  signal.throwIfAborted()
  const from = body.open()
  // A body that fails between two reads must not end the process; whoever reads next is told.
  from.on('error', () => {})
  const onAbort = (): void => void from.destroy(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const chunks = pieces(from, chunkBytes, body.bytes)
    if (body.bytes > chunkBytes) return await inChunks(upload, chunks)
    for await (const bytes of chunks) await atOnce(upload, bytes)
  } finally {
    signal.removeEventListener('abort', onAbort)
    from.destroy()
  }
}

const placeOf = ({ http, bucket, key, kmsKeyName }: GcsUpload, uploadType: 'multipart' | 'resumable'): URL =>
  http.url(`/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`, {
    uploadType,
    name: key,
    ifGenerationMatch: '0',
    kmsKeyName,
  })

/** With its checksum, by which the service refuses what came otherwise than it was sent. */
async function atOnce(upload: GcsUpload, bytes: Buffer): Promise<void> {
  const { http, key, contentType, metadata, signal } = upload
  const checksum = new CRC32C()
  checksum.update(bytes)
  const mark = `tributary-${randomUUID()}`
  const about = JSON.stringify({ name: key, contentType, metadata, crc32c: checksum.toString() })
  const body = Buffer.concat([
    Buffer.from(`--${mark}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n${about}\r\n`),
    Buffer.from(`--${mark}\r\nContent-Type: ${contentType}\r\n\r\n`),
    bytes,
    Buffer.from(`\r\n--${mark}--`),
  ])
  const headers = { 'content-type': `multipart/related; boundary=${mark}` }
  await http.retry(signal, async () =>
    http.ask({ method: 'POST', url: placeOf(upload, 'multipart'), headers, body, signal }),
  )
}

/** https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload */
async function inChunks(upload: GcsUpload, chunks: AsyncGenerator<Buffer>): Promise<void> {
  const { http, body } = upload
  const session = await openSession(upload)
  try {
    const checksum = new CRC32C()
    let start = 0
    for await (const chunk of chunks) {
      checksum.update(chunk)
      const answer = await sendChunk(upload, session, { chunk, start, crc32c: checksum.toString() })
      start += chunk.length
      if (answer.status < 300) return await compare(upload, answer, checksum.toString())
    }
    throw new Error(`the service did not end the upload after ${body.bytes} bytes`)
  } catch (error) {
    const patience = AbortSignal.timeout(CLEAN_UP_MS)
    await http.ask({ method: 'DELETE', url: session, signal: patience }).catch(() => {})
    throw error
  }
}

async function openSession(upload: GcsUpload): Promise<URL> {
  const { http, key, contentType, metadata, body, signal } = upload
  const headers = {
    'content-type': 'application/json; charset=UTF-8',
    'x-upload-content-type': contentType,
    'x-upload-content-length': `${body.bytes}`,
  }
  const about = Buffer.from(JSON.stringify({ name: key, contentType, metadata }))
  const url = placeOf(upload, 'resumable')
  return http.retry(signal, async () => {
    const { headers: answered } = await http.ask({ method: 'POST', url, headers, body: about, signal })
    if (answered.location === undefined) throw new Error('the service named no session')
    return new URL(answered.location)
  })
}

interface Chunk {
  readonly chunk: Buffer
  readonly start: number
  /** Of everything up to this chunk's end. */
  readonly crc32c: string
}

/**
 * Sends one chunk until the service has it. Where an answer fails to come, the service is asked how far it got, and gets
 * the rest. A status below 300: this was the last one, and the object is there.
 */
async function sendChunk(upload: GcsUpload, session: URL, { chunk, start, crc32c }: Chunk): Promise<GcsAnswer> {
  const { http, body, signal } = upload
  const total = body.bytes
  const end = start + chunk.length
  let from = start
  let isUnsure = false
  try {
    return await http.retry(signal, async () => {
      if (isUnsure) {
        const asked = { 'content-range': `bytes */${total}` }
        const answer = await http.ask({ method: 'PUT', url: session, headers: asked, signal })
        if (answer.status < 300) return answer
        from = storedOf(answer)
      }
      while (from < end) {
        if (from < start) throw lost(`the service lost bytes that it had: ${from} of ${start}`)
        isUnsure = true
        const headers = {
          'content-range': `bytes ${from}-${end - 1}/${total}`,
          ...(end === total && { 'x-goog-hash': `crc32c=${crc32c}` }),
        }
        const answer = await http.ask({
          method: 'PUT',
          url: session,
          headers,
          body: chunk.subarray(from - start),
          signal,
        })
        const stored = storedOf(answer)
        if (answer.status < 300 || stored === end) return answer
        if (stored <= from) throw new Error('the service took nothing of a chunk')
        from = stored
      }
      return { status: 308, headers: {}, text: '' }
    })
  } catch (error) {
    // A session that is gone is no missing bucket: the next try begins a new one.
    if (error instanceof GcsError && [404, 410].includes(statusOf(error) ?? 0)) throw lost('the session is gone', error)
    throw error
  }
}

/** How many bytes the service has, by what it says after a chunk that was not the last. */
const storedOf = ({ headers }: GcsAnswer): number => {
  const last = /-(\d+)$/.exec(headers['range'] ?? '')?.[1]
  return last === undefined ? 0 : Number(last) + 1
}

const lost = (message: string, cause?: unknown): AppError =>
  new AppError('BUCKET_UNAVAILABLE', 'The upload has to begin anew.', { cause: cause ?? new Error(message) })

/** The service compares too, but not every one that speaks the protocol does. */
async function compare(
  { http, bucket, key, body, signal }: GcsUpload,
  answer: GcsAnswer,
  crc32c: string,
): Promise<void> {
  const stored = JSON.parse(answer.text) as Stored
  const isSame = Number(stored.size) === body.bytes && (stored.crc32c === undefined || stored.crc32c === crc32c)
  if (isSame) return
  const place = `/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(key)}`
  const url = http.url(place, { ifGenerationMatch: stored.generation })
  await http.retry(signal, async () => http.ask({ method: 'DELETE', url, signal }))
  throw new Error('what was stored is not what was sent')
}

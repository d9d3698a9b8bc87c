import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'

const DECODERS: Readonly<Record<string, (() => NodeJS.ReadWriteStream) | undefined>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
}

/**
 * Bodies arrive as Buffers whatever their Content-Type says: browsers' beacons send JSON as text/plain. A compressed body
 * is inflated up to `bodyBytesMax`; past it, 413.
 */
export function acceptRawBodies(app: FastifyInstance, bodyBytesMax: number): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    const encoding = request.headers['content-encoding']?.trim().toLowerCase()
    if (encoding === undefined || encoding === '' || encoding === 'identity') done(null, body)
    else void inflated(encoding, body as Buffer, bodyBytesMax, done)
  })
}

/** The request's body; empty when it has none. */
export const rawBody = (request: FastifyRequest): Buffer =>
  Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)

async function inflate(encoding: string, body: Buffer, bytesMax: number): Promise<Buffer> {
  const decoder = DECODERS[encoding]?.()
  if (decoder === undefined) {
    throw new AppError('InvalidRequestError', 'The Content-Encoding is not known; gzip, deflate, br and zstd are.')
  }
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    decoder.end(body)
    for await (const chunk of decoder) {
      bytes += (chunk as Buffer).length
      if (bytes > bytesMax) {
        throw new AppError('RequestEntityTooLargeError', `The body is larger than ${bytesMax} bytes when inflated.`)
      }
      chunks.push(chunk as Buffer)
    }
  } catch (error) {
    if (error instanceof AppError) throw error
    throw new AppError('InvalidRequestError', `The body is not valid ${encoding}.`, { cause: error })
  }
  return Buffer.concat(chunks)
}

async function inflated(
  encoding: string,
  body: Buffer,
  bytesMax: number,
  done: (error: Error | null, body?: Buffer) => void,
): Promise<void> {
  try {
    done(null, await inflate(encoding, body, bytesMax))
  } catch (error) {
    done(error as Error)
  }
}

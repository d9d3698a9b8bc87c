import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { createGunzip, createInflate } from 'node:zlib'
import type { FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import type { ByteGate } from './byte-gate.ts'

export const EMPTY_BODY = Buffer.alloc(0)

/** The bytes of a request's body, inflated; empty when it has none. */
export const bodyOf = (request: Pick<FastifyRequest, 'body'>): Buffer =>
  Buffer.isBuffer(request.body) ? request.body : EMPTY_BODY

const tooLarge = (bytesMax: number): AppError =>
  new AppError('RequestEntityTooLargeError', `The request body is larger than ${bytesMax} bytes.`)

const busy = (): AppError =>
  new AppError('ServiceUnavailableError', 'Too many bytes of requests are in progress.', { retryAfterS: 1 })

/** The body's bytes inflated, as the header `Content-Encoding` says. Throws InvalidRequestError for an unknown coding. */
function inflated(message: IncomingMessage, source: Readable): Readable {
  const coding = message.headers['content-encoding']?.trim().toLowerCase()
  if (coding === undefined || coding === '' || coding === 'identity') return source
  const inflater =
    coding === 'gzip' || coding === 'x-gzip' ? createGunzip() : coding === 'deflate' ? createInflate() : undefined
  if (inflater === undefined) {
    throw new AppError('InvalidRequestError', 'The Content-Encoding is not one of gzip, deflate.')
  }
  source.on('error', (error) => inflater.destroy(error))
  return source.pipe(inflater)
}

export interface BodyLimits {
  /** Of one body, both as sent and inflated. */
  readonly bytesMax: number
  /** Shared by all bodies of the process. */
  readonly gate: ByteGate
}

/**
 * Reads a body whole and calls `done` once. Bytes are taken from the gate as they arrive, not as they are announced,
 * so that a connection that announces much and sends nothing holds nothing; `held` is told each number, and gives it
 * back when the request is over. Errors: RequestEntityTooLargeError, ServiceUnavailableError (the gate is full),
 * InvalidRequestError (the coding, or the coded bytes).
 */
export function readBody(
  message: IncomingMessage,
  source: Readable,
  limits: BodyLimits,
  held: (bytes: number) => void,
  done: (error: Error | null, body?: Buffer) => void,
): void {
  const { bytesMax, gate } = limits
  const announced = Number(message.headers['content-length'] ?? 0)
  if (announced > bytesMax) return done(tooLarge(bytesMax))
  if (!gate.fits(announced)) return done(busy())

  let stream: Readable
  try {
    stream = inflated(message, source)
  } catch (error) {
    return done(error instanceof Error ? error : new Error('unreadable body', { cause: error }))
  }
  const chunks: Buffer[] = []
  let bytes = 0
  let settled = false
  const settle = (error: Error | null, body?: Buffer): void => {
    if (settled) return
    settled = true
    stream.off('data', onData)
    stream.off('end', onEnd)
    if (error !== null) {
      // Whatever comes is read and dropped, so that the caller can finish sending and see the answer.
      source.unpipe()
      source.resume()
      if (stream !== source) stream.destroy()
    }
    done(error, body)
  }
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > bytesMax) return settle(tooLarge(bytesMax))
    if (!gate.take(chunk.length)) return settle(busy())
    held(chunk.length)
    chunks.push(chunk)
  }
  const onEnd = (): void => {
    const [first] = chunks
    settle(null, chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, bytes))
  }
  stream.on('data', onData)
  stream.on('end', onEnd)
  stream.on('error', (error) => {
    settle(new AppError('InvalidRequestError', 'The request body cannot be read.', { cause: error }))
  })
}

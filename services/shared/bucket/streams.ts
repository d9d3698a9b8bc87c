import { Readable } from 'node:stream'
import type { ByteRange } from './port.ts'

export interface ArrivingBytes {
  /** How many there must be; undefined: the service did not say. */
  readonly bytes: number | undefined
  /** Fails when somebody waits for the next byte for longer. */
  readonly silenceMs: number
  /** Fails when it is aborted, and lets go of the connection. */
  readonly signal: AbortSignal
  /** The failure in the port's words. */
  readonly translate: (error: unknown) => Error
  /** Sees every chunk, and is asked at the end whether they were the right ones. */
  readonly checksum?: { update(chunk: Buffer): void; isRight(): boolean }
}

/**
 * The bytes of an answer that is still coming, and an error where they are not all of them: a connection that broke or
 * went silent must never look like the end of an object.
 */
export function arriving(from: Readable, options: ArrivingBytes): Readable {
  const { bytes, silenceMs, signal, translate, checksum } = options
  let got = 0
  let silence: NodeJS.Timeout | undefined
  const fail = (error: unknown): void => void stream.destroy(translate(error))
  const onAbort = (): void => fail(signal.reason)
  const stream = new Readable({
    read() {
      silence ??= setTimeout(() => fail(new Error(`not a byte came in ${silenceMs} ms`)), silenceMs)
      from.resume()
    },
    destroy(error, done) {
      clearTimeout(silence)
      signal.removeEventListener('abort', onAbort)
      from.destroy()
      done(error)
    },
  })
  from.on('data', (chunk: Buffer) => {
    // A reader who takes his time is no silence: the clock runs from when he asks.
    clearTimeout(silence)
    silence = undefined
    got += chunk.length
    checksum?.update(chunk)
    if (!stream.push(chunk)) from.pause()
  })
  from.once('end', () => {
    if (bytes !== undefined && got !== bytes) return fail(new Error(`${got} bytes came of ${bytes}`))
    if (checksum?.isRight() === false) return fail(new Error('the bytes that came are not those that were stored'))
    clearTimeout(silence)
    stream.push(null)
  })
  from.on('error', fail)
  from.once('close', () => {
    if (!from.readableEnded) fail(new Error(`the connection closed after ${got} bytes`))
  })
  from.pause()
  // It may fail before its reader has begun to listen, who is then told; an error that nobody hears would end the process.
  stream.on('error', () => {})
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return stream
}

/** As HTTP has it. */
export const rangeHeader = ({ at, bytes }: ByteRange): string => `bytes=${at}-${at + bytes - 1}`

/** Throws, and lets go of the stream, when the answer's `Content-Range` is of other bytes: who does not know ranges gives the whole object. */
export function checkContentRange(stream: Readable, contentRange: string | undefined, { at }: ByteRange): void {
  if (contentRange?.startsWith(`bytes ${at}-`) === true) return
  stream.destroy()
  throw new Error('the service gave other bytes than were asked for')
}

/**
 * The bytes in pieces of `size`, the last one smaller. Throws when there are not exactly `bytes` of them, before the last
 * piece is given: what is made of the pieces then never becomes an object.
 */
export async function* pieces(from: Readable, size: number, bytes: number): AsyncGenerator<Buffer> {
  let held: Buffer[] = []
  let heldBytes = 0
  let got = 0
  for await (const chunk of from) {
    held.push(chunk as Buffer)
    heldBytes += (chunk as Buffer).length
    got += (chunk as Buffer).length
    if (got > bytes) throw new Error('the body is longer than it says')
    // The last piece waits for the end, which alone shows that there is no more.
    if (heldBytes <= size) continue
    let rest = Buffer.concat(held)
    for (; rest.length > size; rest = rest.subarray(size)) yield rest.subarray(0, size)
    held = [rest]
    heldBytes = rest.length
  }
  if (got !== bytes) throw new Error('the body is shorter than it says')
  yield Buffer.concat(held)
}

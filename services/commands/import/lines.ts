import { createGunzip } from 'node:zlib'
import { PassThrough, type Readable } from 'node:stream'
import { AppError } from '../../shared/errors.ts'

export interface Line {
  /** From 1. */
  readonly number: number
  readonly text: string
}

const NEWLINE = 0x0a
const GZIP = Buffer.from([0x1f, 0x8b])

/**
 * The lines of a stream of bytes, plain or gzip (told by its first bytes). A line longer than `lineBytesMax` is handed
 * on with the text undefined, so that memory stays bounded and the caller can say which one it was.
 */
export async function* readLines(
  source: Readable,
  lineBytesMax: number,
): AsyncGenerator<{ readonly number: number; readonly text: string | undefined }> {
  let number = 0
  let parts: Buffer[] = []
  let size = 0
  const finish = (): { number: number; text: string | undefined } => {
    number += 1
    const text = size > lineBytesMax ? undefined : Buffer.concat(parts).toString('utf8')
    parts = []
    size = 0
    return { number, text }
  }
  for await (const chunk of await decompressed(source)) {
    const bytes = chunk as Buffer
    let from = 0
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, from)) {
      size += at - from
      if (size <= lineBytesMax) parts.push(bytes.subarray(from, at))
      yield finish()
      from = at + 1
    }
    size += bytes.length - from
    if (size <= lineBytesMax) parts.push(bytes.subarray(from))
    else parts = []
  }
  if (size > 0) yield finish()
}

async function decompressed(source: Readable): Promise<Readable> {
  const plain = new PassThrough()
  const iterator = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let head = Buffer.alloc(0)
  let ended = false
  while (head.length < GZIP.length && !ended) {
    const next = await iterator.next()
    if (next.done === true) ended = true
    else head = Buffer.concat([head, next.value])
  }
  const isGzip = head.subarray(0, 2).equals(GZIP)
  void pump(iterator, head, plain)
  if (!isGzip) return plain
  const gunzip = createGunzip()
  plain.on('error', (error) => gunzip.destroy(error))
  const readable = plain.pipe(gunzip)
  const told = new PassThrough()
  readable.on('error', (error) =>
    told.destroy(new AppError('InvalidRequestError', 'The gzip file is damaged or cut off.', { cause: error })),
  )
  return readable.pipe(told)
}

async function pump(iterator: AsyncIterator<Buffer>, head: Buffer, into: PassThrough): Promise<void> {
  try {
    if (head.length > 0) into.write(head)
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      if (!into.write(next.value)) {
        await new Promise<void>((resolve) => {
          into.once('drain', resolve)
          into.once('close', resolve)
        })
      }
      if (into.destroyed) return
    }
    into.end()
  } catch (error) {
    into.destroy(error as Error)
  }
}

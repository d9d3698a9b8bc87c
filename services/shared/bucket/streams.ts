import { Readable } from 'node:stream'

/** The same bytes; what makes `from` fail fails the stream in other words. */
export function failingWith(translate: (error: unknown) => Error, from: Readable): Readable {
  async function* translated(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of from) yield chunk as Buffer
    } catch (error) {
      throw translate(error)
    }
  }
  return Readable.from(translated(), { objectMode: false })
}

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { AppError } from '../../services/shared/errors.ts'
import type { Bucket, ObjectMetadata } from '../../services/shared/bucket/port.ts'
import type { Step } from './memory-log.ts'

interface Stored {
  readonly bytes: Buffer
  readonly metadata: ObjectMetadata
}

/** What survives every process: the objects, and what anybody ever tried to write. */
export class MemoryBucketState {
  readonly objects = new Map<string, Stored>()
  /** Digests of all bytes that were sent under a key, also of those that came too late. */
  readonly sent = new Map<string, Set<string>>()
}

/** One process's handle. Every call takes a step before and after it has its effect; the second may lose the answer. */
export function openMemoryBucket(state: MemoryBucketState, step: Step): Bucket {
  const around = async <T>(label: string, effect: () => T): Promise<T> => {
    await step(`before ${label}`)
    const result = effect()
    await step(`after ${label}`)
    return result
  }
  return {
    kind: 'folder',
    description: 'memory',
    async put(key, body, { metadata = {} }) {
      const bytes = await buffer(body.open())
      if (bytes.length !== body.bytes) throw new Error('the body has another length than it says')
      await around(`put ${key}`, () => {
        const sent = state.sent.get(key) ?? new Set()
        state.sent.set(key, sent.add(createHash('sha256').update(bytes).digest('hex')))
        if (state.objects.has(key)) throw new AppError('BUCKET_CONFLICT', 'There is such an object.')
        state.objects.set(key, { bytes, metadata })
      })
    },
    head: (key) =>
      around(`head ${key}`, () => {
        const found = state.objects.get(key)
        return found && { key, bytes: found.bytes.length, metadata: found.metadata }
      }),
    get: (key, _signal, range) =>
      around(`get ${key}`, () => {
        const found = state.objects.get(key)
        const bytes = range === undefined ? found?.bytes : found?.bytes.subarray(range.at, range.at + range.bytes)
        if (bytes === undefined || found === undefined) return undefined
        if (bytes.length < (range?.bytes ?? 0)) throw new AppError('BUCKET_UNAVAILABLE', 'The bytes end early.')
        return Readable.from([bytes], { objectMode: false })
      }),
    async *list(prefix, { after = '' }) {
      const found = await around(`list ${prefix}`, () =>
        [...state.objects]
          .filter(([key]) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0)
          .map(([key, { bytes }]) => ({ key, bytes: bytes.length }))
          .toSorted((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key))),
      )
      yield* found
    },
    async delete(key) {
      await around(`delete ${key}`, () => state.objects.delete(key))
    },
    close: async () => undefined,
  }
}

import { expect } from 'vitest'
import {
  archivedPartitions,
  archivedRanges,
  readManifest,
  readObject,
} from '../../services/exporter/archive/read-archive.ts'
import type { Bucket } from '../../services/shared/bucket/port.ts'
import { producedEvent } from '../support/producer.ts'

/** What an archive holds of producers' events. */
export interface ArchiveContent {
  /** `COLLECTION/NUMBER`, sorted; each once. */
  readonly events: readonly string[]
  readonly ids: ReadonlySet<string>
  readonly manifests: number
  readonly keys: ReadonlySet<string>
}

/**
 * Reads all of an archive as its readers do, and fails where manifests leave a gap or overlap, an event is there twice, or
 * one is not as its producer sent it.
 */
export async function checkArchive(bucket: Bucket, signal: AbortSignal): Promise<ArchiveContent> {
  const events: string[] = []
  const ids = new Set<string>()
  const keys = new Set<string>()
  let manifests = 0
  for (const partition of await archivedPartitions(bucket, signal)) {
    let next = 0n
    for await (const { key, first, last } of archivedRanges(bucket, partition, 0n, signal)) {
      expect(first, 'ranges follow each other').toBe(next)
      next = last + 1n
      manifests += 1
      const manifest = await readManifest(bucket, key, signal)
      for (const object of manifest.objects) {
        keys.add(object.key)
        for await (const batch of readObject(bucket, object, signal)) {
          for (const { id, properties } of batch) {
            expect(ids.has(id), 'an id is there once').toBe(false)
            ids.add(id)
            const sent = JSON.parse(String(properties)) as { n: number; producer: string }
            expect(sent).toEqual(producedEvent(sent.producer, sent.n))
            events.push(`${object.collection}/${sent.n}`)
          }
        }
      }
    }
  }
  return { events: events.toSorted(), ids, manifests, keys }
}

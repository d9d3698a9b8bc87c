import { expect } from 'vitest'
import { Registry } from 'prom-client'
import {
  archivedPartitions,
  archivedRanges,
  readObject,
  readObjectNow,
  readRange,
} from '../../../services/exporter/archive/read-archive.ts'
import { audit } from '../../../services/exporter/audit/audit.ts'
import type { AuditFinding } from '../../../services/exporter/audit/finding.ts'
import type { ArchiveFormat } from '../../../services/exporter/domain/archive-format.ts'
import { manifestKey } from '../../../services/exporter/domain/archive-key.ts'
import type { ArchivedObject } from '../../../services/exporter/domain/manifest.ts'
import { WHOLE_ARCHIVE } from '../../../services/exporter/domain/scope.ts'
import { EXPORTER_DEFAULTS } from '../../../services/exporter/settings.ts'
import { runExporter } from '../../../services/exporter/worker.ts'
import type { Bucket } from '../../../services/shared/bucket/port.ts'
import { encodeEvent } from '../../../services/shared/events/codec.ts'
import type { LoggedEvent } from '../../../services/shared/events/event.ts'
import { MemoryBucketState, openMemoryBucket } from '../../support/memory-bucket.ts'
import { MemoryLogState, openMemoryLog, type Step } from '../../support/memory-log.ts'

const never = new AbortController().signal
const quiet: Step = async () => undefined
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined }

interface Made {
  readonly format?: ArchiveFormat
  readonly rangeBytesMax?: number
}

/** Archives these events by partition, each written to the log when it was received. `folder` is the exporter's own. */
export async function archiveIn(
  bucket: Bucket,
  folder: string,
  partitions: readonly (readonly LoggedEvent[])[],
  { format = 'jsonl.gz', rangeBytesMax = 300 }: Made = {},
): Promise<void> {
  const values = partitions.map((events) => events.map((event) => encodeEvent(event)))
  const log = new MemoryLogState(values, (partition, index) => partitions[partition]?.[index]?.createdAtMs ?? 0)
  if (log.isDone()) return
  const stop = new AbortController()
  const step: Step = async () => (log.isDone() ? stop.abort() : undefined)
  const settings = { ...EXPORTER_DEFAULTS, format, rangeBytesMax, rangeAgeMs: 0 }
  const common = { folder, registry: new Registry(), logger: silent, settings, now: () => 0 }
  await runExporter({ ...common, log: openMemoryLog(log, step), bucket }, stop.signal)
}

/** The same in memory. */
export async function archiveInMemory(
  folder: string,
  partitions: readonly (readonly LoggedEvent[])[],
  more: Made = {},
): Promise<MemoryBucketState> {
  const state = new MemoryBucketState()
  await archiveIn(openQuietly(state), folder, partitions, more)
  return state
}

export const openQuietly = (state: MemoryBucketState): Bucket => openMemoryBucket(state, quiet)

/** Ids and properties of what a reader of manifests finds, each of which it must find once. */
export async function readByManifests(bucket: Bucket): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const partition of await archivedPartitions(bucket, never)) {
    for await (const range of archivedRanges(bucket, partition, 0n, never)) {
      for (const object of (await readRange(bucket, range, never)).manifest.objects) {
        for await (const batch of readObjectNow(readObject, bucket, manifestKey(range), object, never)) {
          for (const { id, properties } of batch) {
            expect(found.has(id), 'an event is found once').toBe(false)
            found.set(id, String(properties))
          }
        }
      }
    }
  }
  return found
}

/** What the newest manifests name. */
export async function namedObjects(bucket: Bucket): Promise<readonly ArchivedObject[]> {
  const found: ArchivedObject[] = []
  for (const partition of await archivedPartitions(bucket, never)) {
    for await (const range of archivedRanges(bucket, partition, 0n, never)) {
      found.push(...(await readRange(bucket, range, never)).manifest.objects)
    }
  }
  return found
}

/** What an audit of the archive by itself has to say. */
export async function findingsOf(bucket: Bucket, quick: boolean): Promise<readonly AuditFinding[]> {
  const findings: AuditFinding[] = []
  await audit({
    bucket,
    log: undefined,
    warehouse: undefined,
    erase: (event) => event,
    rejected: async () => () => new Set(),
    scope: WHOLE_ARCHIVE,
    quick,
    signal: never,
    onFinding: (finding) => findings.push(finding),
    onProgress: () => undefined,
  })
  return findings
}

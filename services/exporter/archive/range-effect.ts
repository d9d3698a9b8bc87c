import type { Logger } from 'pino'
import type { Bucket } from '../../shared/bucket/port.ts'
import { bodyOf, readWhole } from '../../shared/bucket/body.ts'
import { AppError } from '../../shared/errors.ts'
import type { PartitionClaim } from '../../shared/log/port.ts'
import { stopped, untilDefinite } from '../../shared/retry.ts'
import type { Slots } from '../../shared/slots.ts'
import { CONTENT_TYPES } from '../domain/archive-format.ts'
import { manifestKey, objectKey, type RangeName } from '../domain/archive-key.ts'
import { type ExportIntent, formatIntent } from '../domain/intent.ts'
import { type ArchivedObject, type Manifest, manifestText, parseManifest } from '../domain/manifest.ts'
import type { ExporterMetrics } from '../metrics.ts'
import type { ExporterSettings } from '../settings.ts'
import { patiently } from './patiently.ts'
import { type PutOutcome, putOnce } from './put-once.ts'
import type { GatheredRange } from './gathered-range.ts'
import type { PackedFile } from '../spool/packed-lines.ts'
import type { SpooledPart } from './range-spool.ts'
import { sha256Of } from './sha256.ts'

export interface RangeEffectDeps {
  readonly bucket: Bucket
  readonly settings: ExporterSettings
  readonly metrics: ExporterMetrics
  /** Uploads of the whole process. */
  readonly uploads: Slots
  readonly logger: Pick<Logger, 'warn' | 'error'>
}

/**
 * One range: intent, effect, end. The effect is the range's objects, then its repeat keys, then its manifest: each a
 * function of the range's records and of what was kept before it, under names made of its offsets. So doing it again
 * finds what is there, however long ago and by whomever it was written, and whoever reads manifests sees whole ranges alone.
 */
export class RangeEffect {
  readonly #deps: RangeEffectDeps
  readonly #claim: PartitionClaim
  readonly #range: GatheredRange
  readonly #intent: ExportIntent
  readonly #name: RangeName
  readonly #hardStop: AbortSignal

  constructor(
    deps: RangeEffectDeps,
    claim: PartitionClaim,
    range: GatheredRange,
    intent: ExportIntent,
    hardStop: AbortSignal,
  ) {
    this.#deps = deps
    this.#claim = claim
    this.#range = range
    this.#intent = intent
    this.#name = { epoch: claim.epoch, partition: claim.partition, first: intent.first, last: intent.last }
    this.#hardStop = hardStop
  }

  /** Rejects with LOG_FENCED or SHUTTING_DOWN when the range is left to its next owner. */
  async run(): Promise<void> {
    const { isCut } = this.#range
    await this.#commitIntent()
    // What an attempt of before the cut has finished stands: from what is left, it would come out otherwise.
    const isStored = isCut && (await this.#hasManifest())
    const objects = isStored ? [] : await this.#storeAll(this.#range.spool.parts)
    await this.#storeRepeats()
    if (!isStored) await this.#storeManifest(this.#manifest(objects))
    await this.#retried(() => this.#claim.commit(this.#intent.last + 1n))
  }

  /**
   * Also asked again when the archive has something else than this range makes: who slept while another finished the
   * range, from what the log still had, is refused here and has nothing to complain of.
   */
  async #commitIntent(): Promise<void> {
    await this.#retried(() => this.#claim.commit(this.#intent.first, formatIntent(this.#intent)))
  }

  async #storeRepeats(): Promise<void> {
    const { repeats, isCut, lastMs = 0 } = this.#range
    const retried = <T>(attempt: () => Promise<T>): Promise<T> => this.#retried(attempt)
    const adopt = async (): Promise<boolean> => isCut && repeats.adopt(this.#name, retried, this.#hardStop)
    if (await adopt()) return
    if (await repeats.store(this.#name, lastMs, retried, this.#hardStop)) return
    await this.#commitIntent()
    if (await adopt()) return // a former owner, of before the cut, came in between
    const details = { key: manifestKey(this.#name) }
    throw new AppError('CONFIG_INVALID', 'The archive has other repeat keys of this range.', { details })
  }

  async #hasManifest(): Promise<boolean> {
    const { bucket } = this.#deps
    const bytes = await this.#retried(() => readWhole(bucket, manifestKey(this.#name), this.#hardStop))
    return bytes !== undefined && parseManifest(bytes) !== undefined
  }

  async #storeAll(parts: readonly SpooledPart[]): Promise<readonly ArchivedObject[]> {
    const stored: ArchivedObject[] = []
    const failures: unknown[] = []
    const storeAt = async (index: number, part: SpooledPart): Promise<void> => {
      try {
        stored[index] = await this.#store(part)
      } catch (error) {
        failures.push(error)
      } finally {
        this.#deps.uploads.give()
      }
    }
    const running: Promise<void>[] = []
    for (const [index, part] of parts.entries()) {
      if (failures.length > 0 || !(await this.#deps.uploads.take(this.#hardStop))) break
      running.push(storeAt(index, part))
    }
    await Promise.all(running)
    if (failures.length > 0) throw failures[0]
    if (this.#hardStop.aborted) throw stopped()
    return stored
  }

  async #store(part: SpooledPart): Promise<ArchivedObject> {
    const { metrics, logger } = this.#deps
    const { format } = this.#intent
    const packed = await this.#range.spool.finish(part)
    try {
      let key = objectKey(this.#name, part, format)
      let found = await this.#put(key, packed)
      if (found.outcome === 'mismatched') {
        await this.#commitIntent()
        // Foreign or damaged: it is left alone, the audit tells of it, and this one goes beside it.
        logger.error(
          { key, bucket: this.#deps.bucket.description },
          'something else is where an object of the archive belongs',
        )
        metrics.objects.inc({ outcome: 'mismatched' })
        key = objectKey(this.#name, part, `${packed.contentSha256.slice(0, 16)}.${format}`)
        found = await this.#put(key, packed)
        if (found.outcome === 'mismatched')
          throw new AppError('CONFIG_INVALID', 'Another writer uses the archive’s names.')
      }
      metrics.objects.inc({ outcome: found.outcome })
      const { bytes, sha256 } = found.outcome === 'matched' ? found : packed
      metrics.bytes.inc(bytes)
      metrics.contentBytes.inc(packed.contentBytes)
      return {
        key,
        project: part.project,
        collection: part.collection,
        hour: new Date(part.hourMs).toISOString(),
        format,
        events: part.events,
        first: String(part.first),
        last: String(part.last),
        bytes,
        sha256,
        content_bytes: packed.contentBytes,
        content_sha256: packed.contentSha256,
      }
    } finally {
      packed.dispose()
    }
  }

  async #put(key: string, packed: PackedFile): Promise<PutOutcome> {
    const options = { contentType: CONTENT_TYPES[this.#intent.format], signal: this.#hardStop }
    return this.#retried(() => putOnce(this.#deps.bucket, key, packed.body, packed, options))
  }

  #manifest(objects: readonly ArchivedObject[]): Manifest {
    const { epoch, partition, first, last } = this.#name
    const { records, repeated, unusable, firstMs, lastMs } = this.#range
    return {
      version: 1,
      epoch,
      partition,
      first: String(first),
      last: String(last),
      records,
      events: objects.reduce((sum, { events }) => sum + events, 0),
      repeats: repeated,
      unusable: Object.fromEntries([...unusable].toSorted(([a], [b]) => (a < b ? -1 : 1))),
      appended:
        firstMs === undefined || lastMs === undefined
          ? null
          : { first: new Date(firstMs).toISOString(), last: new Date(lastMs).toISOString() },
      objects: [...objects],
    }
  }

  async #storeManifest(manifest: Manifest): Promise<void> {
    const text = Buffer.from(manifestText(manifest))
    const sha256 = sha256Of(text)
    const key = manifestKey(this.#name)
    const options = { contentType: 'application/json', signal: this.#hardStop }
    const stamp = { sha256, contentSha256: sha256 }
    const { outcome } = await this.#retried(() => putOnce(this.#deps.bucket, key, bodyOf(text), stamp, options))
    this.#deps.metrics.objects.inc({ outcome })
    if (outcome === 'mismatched') {
      await this.#commitIntent()
      if (this.#range.isCut && (await this.#hasManifest())) return
      throw new AppError(
        'CONFIG_INVALID',
        'The archive has another manifest of this range. `tributary audit` says more.',
        {
          details: { key },
        },
      )
    }
  }

  async #retried<T>(attempt: () => Promise<T>): Promise<T> {
    const { settings, logger, metrics } = this.#deps
    return untilDefinite(
      settings,
      this.#claim.signal,
      () => patiently(attempt),
      (error) => {
        const code = error instanceof AppError ? error.code : 'unknown'
        metrics.retries.inc({ code })
        const details = error instanceof AppError ? error.details : {}
        logger.warn(
          { code, details, partition: this.#claim.partition },
          'a step of a range had no answer and is tried again',
        )
      },
    )
  }
}

import type { ExtractionFiles, ExtractionJob } from './files.ts'

/** A job that was not heard of for so long has been left by its process. */
const DEAD_AFTER_MS = 60_000

export const isOpen = (job: ExtractionJob): boolean => job.state === 'waiting' || job.state === 'running'
export const byAge = (a: ExtractionJob, b: ExtractionJob): number => a.createdAtMs - b.createdAtMs
export const isSilent = (job: ExtractionJob, nowMs: number): boolean => job.aliveAtMs < nowMs - DEAD_AFTER_MS

/** The job, when its process ended before it did. */
export const lost = (job: ExtractionJob, nowMs: number): ExtractionJob => ({
  ...job,
  state: 'failed',
  endedAtMs: nowMs,
  error: { code: 'ServiceUnavailableError', message: 'The process that had this job ended. Ask again.' },
})

export interface SweepOptions {
  readonly nowMs: number
  /** Of all files together. */
  readonly bytesMax: number
  /** Bytes that have to be free below it. */
  readonly reservedBytes: number
  /** Jobs of this process, which are nobody else's to end. */
  readonly isOwn: (job: ExtractionJob) => boolean
  /** Nobody else has these files, and this process has just begun: what is open is lost. */
  readonly isFirst: boolean
}

/** Fails jobs that were lost, and removes those that are expired, and the oldest files of too many bytes. */
export async function sweepFiles(files: ExtractionFiles, options: SweepOptions): Promise<void> {
  const { nowMs } = options
  let bytes = options.reservedBytes
  for (const job of (await files.list()).toSorted(byAge).toReversed()) {
    if (options.isOwn(job)) continue
    bytes += job.bytes
    if (job.expiresAtMs <= nowMs || (job.state === 'done' && bytes > options.bytesMax)) {
      await files.remove(job)
      bytes -= job.bytes
    } else if (isOpen(job) && (options.isFirst || isSilent(job, nowMs))) {
      // What it had written of its file goes, too.
      await files.remove(job)
      await files.put(lost(job, nowMs))
    }
  }
}

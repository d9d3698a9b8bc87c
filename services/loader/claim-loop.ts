import { hasCode } from '../shared/errors.ts'
import { decodeEvent, unreadableReason } from '../shared/events/codec.ts'
import type { PartitionClaim } from '../shared/log/port.ts'
import { type Batch, BatchReader } from './batch-reader.ts'
import type { Slots } from '../shared/slots.ts'
import { parseIntent } from './domain/intent.ts'
import { type EffectDeps, RangeEffect } from './effect.ts'
import { prepare } from './prepare.ts'
import { stopped } from '../shared/retry.ts'

/** What `/metrics` shows of a claim. */
export interface ClaimProgress {
  /** Everything before it is final. */
  position: bigint
  /** `performance.now()` when the running batch began; undefined when none is running. */
  batchSinceMs: number | undefined
}

const isLeft = (error: unknown): boolean => hasCode(error, 'LOG_FENCED') || hasCode(error, 'SHUTTING_DOWN')

/**
 * Moves one partition's records to the warehouse until the claim ends. A batch that an earlier owner began comes first,
 * with its boundaries. While one batch is inserted the next is read and encoded; its intent waits for the commit of the
 * one before, so that there is one intent at a time and offsets are committed in order.
 *
 * Resolves when the claim is over or the partition is lost; rejects with any other error, which ends the loader: going
 * on would commit past a batch that failed.
 */
export async function loadClaim(
  deps: EffectDeps,
  slots: Slots,
  claim: PartitionClaim,
  progress: ClaimProgress,
): Promise<void> {
  const { metrics, settings } = deps
  let held = 0
  const reader = new BatchReader(claim, slots, settings, (records) => {
    held += records
    metrics.read.inc(records)
    metrics.inFlight.inc(records)
  })
  const hardStop = new AbortController()
  let drain: NodeJS.Timeout | undefined
  const onStop = (): void => {
    drain = setTimeout(() => hardStop.abort(stopped()), settings.drainMs)
  }
  if (claim.signal.aborted) onStop()
  else claim.signal.addEventListener('abort', onStop, { once: true })

  let running: Promise<void> | undefined
  const failures: unknown[] = []
  const isFailed = (): boolean => failures.length > 0
  const load = async (batch: Batch, before: Promise<void> | undefined): Promise<void> => {
    try {
      const prepared = await prepare(claim.epoch, batch, decodeEvent, unreadableReason, deps)
      await before
      if (isFailed() || claim.signal.aborted) return // not begun: the next owner cuts its own batches
      const sinceMs = performance.now()
      progress.batchSinceMs = sinceMs
      if (batch.sealedBy === 'replay') metrics.replays.inc()
      else metrics.batches.inc({ sealed_by: batch.sealedBy })
      const outcome = await new RangeEffect(deps, claim, prepared, hardStop.signal).run()
      progress.position = batch.last + 1n
      held -= batch.records.length
      metrics.finished(outcome)
      metrics.batchRows.observe(batch.records.length)
      metrics.batchSeconds.observe((performance.now() - sinceMs) / 1000)
    } catch (error) {
      failures.push(error)
    } finally {
      progress.batchSinceMs = undefined
      slots.give()
    }
  }

  try {
    const intent = parseIntent(claim.committed.metadata, claim.committed.offset)
    if (intent !== undefined) {
      const batch = await reader.exactly(intent, deps.log)
      if (batch !== undefined) await load(batch, undefined)
    }
    let isBusy = false
    while (!isFailed() && !claim.signal.aborted) {
      const batch = await reader.next(() => isBusy, isFailed)
      if (batch === undefined) break
      // At most one batch runs and one is read ahead.
      const before = running
      isBusy = true
      const mine = load(batch, before).finally(() => {
        if (running === mine) isBusy = false
      })
      running = mine
      if (before !== undefined) await before
    }
    await running
    const [failure] = failures
    if (isFailed() && !isLeft(failure)) throw failure
  } finally {
    clearTimeout(drain)
    claim.signal.removeEventListener('abort', onStop)
    metrics.abandoned.inc(held)
    metrics.inFlight.dec(held)
  }
}

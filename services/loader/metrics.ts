import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { DeadReason } from './domain/dead.ts'

export type SealedBy = 'rows' | 'bytes' | 'age' | 'stop'
export type InsertOutcome = 'stored' | 'unavailable' | 'rejected'

/**
 * What the loader counts, on a registry of its caller's. Within the life of a process, for the records it read,
 *
 *     read = stored + repeated + erased + dead-lettered + abandoned + in flight
 *
 * A record is counted as read each time this process reads it, and leaves "in flight" once: with its outcome, after the
 * commit that makes it final, or as abandoned when its partition went to another process first (which counts it anew).
 * Between processes the sum of `stored` can be one batch short for each process that died between a commit and its count.
 */
export class LoaderMetrics {
  readonly read: Counter
  readonly stored: Counter
  readonly repeated: Counter
  readonly erased: Counter
  readonly deadLettered: Counter<'reason'>
  readonly abandoned: Counter
  readonly inFlight: Gauge
  readonly batches: Counter<'sealed_by'>
  readonly inserts: Counter<'outcome'>
  readonly replays: Counter
  readonly batchRows: Histogram
  readonly batchSeconds: Histogram
  readonly lag: Gauge<'partition'>
  readonly intentAge: Gauge<'partition'>

  /** `observe` sets `lag` and `intentAge` when somebody looks. */
  constructor(registry: Registry, observe: (metrics: LoaderMetrics) => Promise<void>) {
    const registers = [registry]
    const counter = (name: string, help: string) => new Counter({ name, help, registers })
    this.read = counter('loader_events_read_total', 'Records read from the log.')
    this.stored = counter('loader_events_stored_total', 'Events stored in the warehouse and committed.')
    this.repeated = counter('loader_events_repeated_total', 'Repeats of stored events, dropped and committed.')
    this.erased = counter(
      'loader_events_erased_total',
      'Events that were deleted before they were stored, dropped and committed.',
    )
    this.deadLettered = new Counter({
      name: 'loader_events_dead_lettered_total',
      help: 'Records that could not be used, kept in the dead-letter topic and committed.',
      labelNames: ['reason'],
      registers,
    })
    this.abandoned = counter(
      'loader_events_abandoned_total',
      'Records read and left to the next owner of their partition.',
    )
    this.inFlight = new Gauge({ name: 'loader_events_in_flight', help: 'Records read and not yet final.', registers })
    this.batches = new Counter({
      name: 'loader_batches_total',
      help: 'Batches closed, by what closed them.',
      labelNames: ['sealed_by'],
      registers,
    })
    this.inserts = new Counter({
      name: 'loader_inserts_total',
      help: 'Inserts into the warehouse, by how they ended.',
      labelNames: ['outcome'],
      registers,
    })
    this.replays = counter('loader_replays_total', 'Batches that an earlier owner had begun, repeated.')
    this.batchRows = new Histogram({
      name: 'loader_batch_rows',
      help: 'Records in a batch.',
      buckets: [1, 10, 100, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000],
      registers,
    })
    this.batchSeconds = new Histogram({
      name: 'loader_batch_seconds',
      help: 'From the intent of a batch to its end.',
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
      registers,
    })
    this.lag = new Gauge({
      name: 'loader_lag_events',
      help: 'Records of a partition that this process holds which are not yet final.',
      labelNames: ['partition'],
      registers,
      collect: () => observe(this),
    })
    this.intentAge = new Gauge({
      name: 'loader_intent_age_seconds',
      help: 'How long the running batch of a partition has been running; 0 when none is.',
      labelNames: ['partition'],
      registers,
    })
  }

  /** Counts the end of a batch. Call it once its commit is definite. */
  finished(outcome: { stored: number; repeated: number; erased: number; dead: ReadonlyMap<DeadReason, number> }): void {
    this.stored.inc(outcome.stored)
    this.repeated.inc(outcome.repeated)
    this.erased.inc(outcome.erased)
    let dead = 0
    for (const [reason, count] of outcome.dead) {
      this.deadLettered.inc({ reason }, count)
      dead += count
    }
    this.inFlight.dec(outcome.stored + outcome.repeated + outcome.erased + dead)
  }
}

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/**
 * How a run ended. `superseded`: the definition changed meanwhile; `lost`: its share went to another process, or the
 * process stops; `unstored`: the warehouse did not take what became of it, and it is run again.
 */
export type RunOutcome = 'stored' | 'failed' | 'superseded' | 'lost' | 'unstored'

export interface SavedMeters {
  ran(outcome: RunOutcome, seconds: number): void
  /** Of a cached query's result: from where it was answered. */
  answered(from: 'stored' | 'computed'): void
}

/** `stalestMs`: the age of the oldest result among those that this process keeps fresh. */
export function createSavedMeters(metrics: Registry, stalestMs: () => number): SavedMeters {
  const runs = new Counter({
    name: 'cached_query_runs_total',
    help: 'Runs of cached queries by how they ended.',
    labelNames: ['outcome'],
    registers: [metrics],
  })
  const seconds = new Histogram({
    name: 'cached_query_run_seconds',
    help: 'Time that a run of a cached query took.',
    buckets: [0.01, 0.05, 0.25, 1, 5, 30, 120, 600],
    registers: [metrics],
  })
  const answers = new Counter({
    name: 'cached_query_answers_total',
    help: 'Answers of cached queries: stored ones, and those that were computed for their caller.',
    labelNames: ['from'],
    registers: [metrics],
  })
  // A gauge belongs to the registry it names; nobody else needs it.
  void new Gauge({
    name: 'cached_query_stalest_seconds',
    help: 'Age of the oldest result among those this process keeps fresh.',
    registers: [metrics],
    collect() {
      this.set(stalestMs() / 1_000)
    },
  })
  return {
    ran(outcome, duration) {
      runs.inc({ outcome })
      seconds.observe(duration)
    },
    answered(from) {
      answers.inc({ from })
    },
  }
}

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/**
 * How a run ended. `superseded`: the definition changed meanwhile; `lost`: its share went to another process, or the
 * process stops; `unstored`: the warehouse did not take what became of it, and it is run again.
 */
export type RunOutcome = 'stored' | 'failed' | 'superseded' | 'lost' | 'unstored'

export interface RefreshMeters {
  ran(outcome: RunOutcome, seconds: number): void
  /** From where a result was answered. */
  answered(from: 'stored' | 'computed'): void
}

export type Refreshed = 'cached_query' | 'dataset'

const WORDS: Readonly<Record<Refreshed, { readonly one: string; readonly many: string }>> = {
  cached_query: { one: 'a cached query', many: 'cached queries' },
  dataset: { one: 'a dataset', many: 'datasets' },
}

/** `stalestMs`: the age of the oldest result among those that this process keeps fresh. */
export function createRefreshMeters(metrics: Registry, of: Refreshed, stalestMs: () => number): RefreshMeters {
  const { one, many } = WORDS[of]
  const runs = new Counter({
    name: `${of}_runs_total`,
    help: `Runs of ${many} by how they ended.`,
    labelNames: ['outcome'],
    registers: [metrics],
  })
  const seconds = new Histogram({
    name: `${of}_run_seconds`,
    help: `Time that a run of ${one} took.`,
    buckets: [0.01, 0.05, 0.25, 1, 5, 30, 120, 600],
    registers: [metrics],
  })
  const answers = new Counter({
    name: `${of}_answers_total`,
    help: `Answers of ${many}: stored ones, and those that were computed for their caller.`,
    labelNames: ['from'],
    registers: [metrics],
  })
  // A gauge belongs to the registry it names; nobody else needs it.
  void new Gauge({
    name: `${of}_stalest_seconds`,
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

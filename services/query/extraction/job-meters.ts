import { Counter, Gauge, type Registry } from 'prom-client'

export interface JobMeters {
  readonly ended: (outcome: 'done' | 'failed' | 'removed' | 'stopped') => void
}

export function createJobMeters(
  metrics: Registry,
  now: { readonly running: () => number; readonly waiting: () => number },
): JobMeters {
  const jobs = new Counter({
    name: 'extraction_jobs_total',
    help: 'Extractions to files by how they ended.',
    labelNames: ['outcome'],
    registers: [metrics],
  })
  for (const [name, help, value] of [
    ['extraction_jobs_running', 'Extractions to files that run now.', now.running],
    ['extraction_jobs_waiting', 'Extractions to files that wait for their turn.', now.waiting],
  ] as const) {
    void new Gauge({
      name,
      help,
      registers: [metrics],
      collect() {
        this.set(value())
      },
    })
  }
  return { ended: (outcome) => jobs.inc({ outcome }) }
}

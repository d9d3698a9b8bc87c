import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { AppError } from '../shared/errors.ts'
import type { Turns } from './turns.ts'

type Outcome = 'answered' | 'refused' | 'limited' | 'timeout' | 'aborted' | 'failed'

export interface QueryMeters {
  readonly observe: (name: string, outcome: Outcome, seconds: number) => void
  readonly rowsRead: (rows: number) => void
}

export function createQueryMeters(metrics: Registry, turns: Turns): QueryMeters {
  const requests = new Counter({
    name: 'query_requests_total',
    help: 'Queries by analysis and by how they ended.',
    labelNames: ['analysis', 'outcome'],
    registers: [metrics],
  })
  const seconds = new Histogram({
    name: 'query_duration_seconds',
    help: 'Time from a query’s request to its answer, waiting included.',
    labelNames: ['analysis'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: [metrics],
  })
  const rows = new Counter({
    name: 'query_rows_read_total',
    help: 'Rows that queries read in the warehouse.',
    registers: [metrics],
  })
  const gauge = (name: string, help: string, value: () => number): Gauge =>
    new Gauge({
      name,
      help,
      registers: [metrics],
      collect() {
        this.set(value())
      },
    })
  gauge('query_running_requests', 'Queries that run now.', () => turns.running)
  gauge('query_waiting_requests', 'Queries that wait for their turn.', () => turns.waiting)
  return {
    observe: (analysis, outcome, duration) => {
      requests.inc({ analysis, outcome })
      seconds.observe({ analysis }, duration)
    },
    rowsRead: (count) => {
      rows.inc(count)
    },
  }
}

/** How a query that threw this ended. */
export function outcomeOf(error: unknown, signal: AbortSignal): Outcome {
  if (signal.aborted) return 'aborted'
  if (!(error instanceof AppError)) return 'failed'
  if (error.code === 'QueryTimeoutError') return 'timeout'
  if (error.code === 'QueryConcurrencyLimitError') return 'limited'
  return error.policy.status < 500 ? 'refused' : 'failed'
}

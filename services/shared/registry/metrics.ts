import { Counter, Gauge, Histogram, type Registry as MetricsRegistry } from 'prom-client'
import type { AppError } from '../errors.ts'
import type { Change } from './records.ts'

/** Why a key was not taken; a closed set, for a label. */
export type Refusal = 'organization_unknown' | 'project_unknown' | 'key_missing' | 'key_unknown' | 'key_revoked'

export interface RegistryMetrics {
  applied(change: Change): void
  /** Counts, and gives the error back to be thrown. */
  refused(reason: Refusal, error: AppError): AppError
  /** Starts a clock; calling what it gives stops it. */
  timeWrite(): () => void
}

export function registryMetrics(
  registry: MetricsRegistry,
  state: { readonly projectCount: number; readonly keyCount: number },
): RegistryMetrics {
  const registers = [registry]
  const records = new Counter({
    name: 'registry_records_total',
    help: 'Records of the control topic, by what became of them here.',
    labelNames: ['outcome'] as const,
    registers,
  })
  const refusals = new Counter({
    name: 'registry_refusals_total',
    help: 'Keys that were not taken.',
    labelNames: ['reason'] as const,
    registers,
  })
  const writes = new Histogram({
    name: 'registry_write_seconds',
    help: 'From a write to its record having come back from the log.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  })
  const gauge = (name: string, help: string, value: () => number): void => {
    const metric = new Gauge({
      name,
      help,
      registers: [],
      collect() {
        this.set(value())
      },
    })
    registry.registerMetric(metric)
  }
  gauge('registry_projects_count', 'Projects known here.', () => state.projectCount)
  gauge('registry_keys_count', 'Keys known here.', () => state.keyCount)
  return {
    applied(change) {
      records.inc({ outcome: outcomeOf(change) })
    },
    refused(reason, error) {
      refusals.inc({ reason })
      return error
    },
    timeWrite() {
      const stop = writes.startTimer()
      return () => {
        stop()
      }
    },
  }
}

function outcomeOf(change: Change): string {
  switch (change.kind) {
    case 'project':
    case 'key':
    case 'definition':
      return 'applied'
    case 'no project':
    case 'no key':
    case 'no definition':
      return change.aside ?? 'deleted'
    case 'other':
      return 'unknown_kind'
    default:
      return change satisfies never
  }
}

import { Counter, Gauge, type Registry } from '../../shared/telemetry/metrics.ts'

/** What became of an event on one tail, once the tail's collections and sample had let it pass. */
export type TailOutcome =
  | 'sent'
  | 'filtered'
  | 'sampled_out'
  | 'dropped_slow'
  | 'dropped_rate'
  | 'dropped_busy'
  | 'unreadable'
export type EndReason = 'caller' | 'key' | 'stalled' | 'log' | 'shutdown'
export type RefusalReason = 'process' | 'project' | 'key' | 'log'

export interface TailMeters {
  readonly event: (outcome: TailOutcome) => void
  readonly ended: (reason: EndReason) => void
  readonly refused: (reason: RefusalReason) => void
}

export function createTailMeters(registry: Registry, open: () => number): TailMeters {
  const registers = [registry]
  const events = new Counter({
    name: 'query_tail_events_total',
    help: 'Events of a tail’s project and collections, by what became of them on that tail.',
    labelNames: ['outcome'],
    registers,
  })
  const ended = new Counter({
    name: 'query_tails_ended_total',
    help: 'Tails that ended, by why.',
    labelNames: ['reason'],
    registers,
  })
  const refused = new Counter({
    name: 'query_tails_refused_total',
    help: 'Tails that were not opened, by what they would have gone past, or for the log.',
    labelNames: ['reason'],
    registers,
  })
  void new Gauge({
    name: 'query_tails',
    help: 'Tails that are open.',
    registers,
    collect() {
      this.set(open())
    },
  })
  return {
    event: (outcome) => events.inc({ outcome }),
    ended: (reason) => ended.inc({ reason }),
    refused: (reason) => refused.inc({ reason }),
  }
}

import { Counter, Gauge, Histogram, type Registry } from '../shared/telemetry/metrics.ts'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** Every event that was read is accepted or rejected: received = accepted + rejected + in the log's hands. */
export interface IngestMetrics {
  readonly received: Counter
  readonly accepted: Counter
  /** By the error code that the caller got, or `log_unavailable`: answered with 503, and to be sent again. */
  readonly rejected: Counter<'reason'>
  /** Requests that were refused before their events were read, or whose events the log did not take. */
  readonly requestsRejected: Counter<'reason'>
  readonly redirectsFailed: Counter
  /** Requests beyond a limit of their key. */
  readonly limited: Counter<'limit' | 'kind'>
  /** Of each add-on that an event asked for, what became of it. */
  readonly enrichments: Counter<'addon' | 'outcome'>
  readonly appendSeconds: Histogram
  readonly appending: Gauge
}

export function createIngestMetrics(registry: Registry): IngestMetrics {
  const registers = [registry]
  return {
    received: new Counter({
      name: 'ingest_events_received_total',
      help: 'Events that were read from requests.',
      registers,
    }),
    accepted: new Counter({
      name: 'ingest_events_accepted_total',
      help: 'Events that are durable in the log.',
      registers,
    }),
    rejected: new Counter({
      name: 'ingest_events_rejected_total',
      help: 'Events that were not taken, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    requestsRejected: new Counter({
      name: 'ingest_requests_rejected_total',
      help: 'Recording requests that were refused as a whole, by error code.',
      labelNames: ['reason'],
      registers,
    }),
    limited: new Counter({
      name: 'ingest_limited_total',
      help: 'Recording requests that were refused because of a limit of their key, by the limit and the kind of key.',
      labelNames: ['limit', 'kind'],
      registers,
    }),
    redirectsFailed: new Counter({
      name: 'ingest_redirects_unrecorded_total',
      help: 'Recording links that led on although their event was not taken.',
      registers,
    }),
    enrichments: new Counter({
      name: 'ingest_enrichments_total',
      help: 'Add-ons that events asked for, by what became of them.',
      labelNames: ['addon', 'outcome'],
      registers,
    }),
    appendSeconds: new Histogram({
      name: 'ingest_append_seconds',
      help: 'Time that the log took to make the events of a request durable.',
      buckets: SECONDS,
      registers,
    }),
    appending: new Gauge({
      name: 'ingest_events_appending',
      help: 'Events that the log is making durable.',
      registers,
    }),
  }
}

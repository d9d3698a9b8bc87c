import { Counter, Gauge, type Registry } from 'prom-client'

export type DeliveryFailure =
  | 'forbidden'
  | 'credentials'
  | 'no_bucket'
  | 'quota'
  | 'invalid'
  | 'unavailable'
  | 'damaged'

export class DeliveryMetrics {
  readonly deliveries: Counter
  readonly resumed: Counter
  readonly files: Counter<'outcome'>
  readonly events: Counter
  readonly filtered: Counter
  readonly kept: Counter<'reason'>
  readonly bytes: Counter
  readonly failures: Counter<'reason'>
  readonly catalogueFailures: Counter
  readonly lag: Gauge<'project' | 'stream'>
  readonly courses: Gauge<'state'>

  constructor(registry: Registry) {
    const registers = [registry]
    const counter = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
      new Counter({ name: `deliveries_${name}`, help, labelNames: [...labelNames], registers })
    this.deliveries = counter('finished_total', 'Deliveries that are in their buckets whole, with their manifest.')
    this.resumed = counter(
      'resumed_total',
      'Deliveries that were begun before, mostly by a process that ended, and taken up.',
    )
    this.files = counter(
      'files_total',
      'Files: written, matched (an earlier attempt’s was there), mismatched (something else was).',
      ['outcome'],
    )
    this.events = counter('events_total', 'Events in these files.')
    this.filtered = counter('events_filtered_total', 'Events that a stream’s filters or times left out.')
    this.kept = counter('values_kept_total', 'Values that a format could not say in its own way and holds as text.', [
      'reason',
    ])
    this.bytes = counter('bytes_total', 'Bytes of these files.')
    this.failures = counter('failures_total', 'Deliveries that failed and are tried again.', ['reason'])
    this.catalogueFailures = counter(
      'catalogue_failures_total',
      'Deliveries that were planned with the columns of the one before, because the warehouse did not answer.',
    )
    this.lag = new Gauge({
      name: 'deliveries_lag_seconds',
      help: 'Age of the oldest event that was found in the archive and is not delivered; 0 when there is none.',
      labelNames: ['project', 'stream'],
      registers,
    })
    this.courses = new Gauge({
      name: 'deliveries_streams',
      help: 'Streams and back-fills of this process by their state.',
      labelNames: ['state'],
      registers,
    })
  }
}

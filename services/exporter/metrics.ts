import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Why a range was closed; `replay`: an earlier owner had decided on it. */
export type SealedBy = 'bytes' | 'age' | 'objects' | 'spool' | 'replay'

export interface ExporterGauges {
  readonly lag: Gauge<'partition'>
  readonly lagSeconds: Gauge<'partition'>
  readonly intentAge: Gauge<'partition'>
  readonly spool: Gauge
  readonly memory: Gauge
}

/** Every record that is read ends in one of: exported, repeated, unusable, abandoned. */
export class ExporterMetrics {
  readonly read: Counter
  readonly exported: Counter
  readonly repeated: Counter
  readonly unusable: Counter<'reason'>
  readonly abandoned: Counter
  readonly ranges: Counter<'sealed_by'>
  readonly objects: Counter<'outcome'>
  readonly bytes: Counter
  readonly contentBytes: Counter
  readonly retries: Counter<'code'>
  readonly spilled: Counter
  readonly rangeSeconds: Histogram

  constructor(registry: Registry, refresh: (gauges: ExporterGauges) => Promise<void>) {
    const registers = [registry]
    const counter = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
      new Counter({ name: `exporter_${name}`, help, labelNames: [...labelNames], registers })
    const gauge = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
      new Gauge({ name: `exporter_${name}`, help, labelNames: [...labelNames], registers })

    this.read = counter('records_read_total', 'Records taken from the log into a range.')
    this.exported = counter('events_exported_total', 'Events that are in the archive, with their manifest and commit.')
    this.repeated = counter('events_repeated_total', 'Left out as repeats of events that were kept.')
    this.unusable = counter(
      'records_unusable_total',
      'Records that are no events; the loader moves them to the dead-letter topic.',
      ['reason'],
    )
    this.abandoned = counter('records_abandoned_total', 'Records read and left to the partition’s next owner.')
    this.ranges = counter('ranges_total', 'Ranges that were closed, by what closed them.', ['sealed_by'])
    this.objects = counter(
      'objects_total',
      'Objects: written, matched (an earlier attempt’s was there), mismatched (something else was).',
      ['outcome'],
    )
    this.bytes = counter('written_bytes_total', 'Bytes of objects as they are stored.')
    this.contentBytes = counter('content_bytes_total', 'Bytes of their lines, uncompressed.')
    this.retries = counter('retries_total', 'Steps that had no definite answer and were tried again.', ['code'])
    this.spilled = counter('spilled_bytes_total', 'Bytes that went to files because memory was short.')
    this.rangeSeconds = new Histogram({
      name: 'exporter_range_seconds',
      help: 'From the intent of a range to its last commit.',
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
      registers,
    })
    const gauges: ExporterGauges = {
      lagSeconds: gauge(
        'lag_seconds',
        'Age of the oldest record that is read and not yet in the archive; 0 when there is none.',
        ['partition'],
      ),
      intentAge: gauge(
        'intent_age_seconds',
        'How long the running range of a partition has been running; 0 when none is.',
        ['partition'],
      ),
      spool: gauge('spool_bytes', 'Bytes that wait in files for their ranges to be closed.'),
      memory: gauge('memory_bytes', 'Bytes that wait in memory for it.'),
      lag: new Gauge({
        name: 'exporter_lag_events',
        help: 'Offsets of a partition that are not yet in the archive.',
        labelNames: ['partition'],
        registers,
        collect: async () => refresh(gauges),
      }),
    }
  }
}

import { Counter, Gauge, type Registry } from 'prom-client'

/** Why objects that were to be merged stay as they are. */
export type DroppedReason = 'gone' | 'damaged' | 'mismatched'

export class CompactionMetrics {
  readonly plans: Counter
  readonly files: Counter<'outcome'>
  readonly merged: Counter
  readonly bytes: Counter
  readonly dropped: Counter<'reason'>
  readonly ranges: Counter
  readonly removed: Counter<'what'>
  readonly failures: Counter<'reason'>
  readonly waiting: Gauge
  /** `since` gives milliseconds since 1970; undefined while it is not known. */
  constructor(registry: Registry, lag: () => number | undefined) {
    const registers = [registry]
    const counter = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
      new Counter({ name: `compaction_${name}`, help, labelNames: [...labelNames], registers })
    this.plans = counter('plans_total', 'Plans that were carried out, those without merges aside.')
    this.files = counter('files_total', 'Merged files: written, matched (an earlier attempt’s was there).', ['outcome'])
    this.merged = counter('objects_merged_total', 'Objects that went into merged files.')
    this.bytes = counter('bytes_total', 'Bytes of merged files.')
    this.dropped = counter(
      'dropped_total',
      'Merges that were given up: an object was erased meanwhile (gone) or is damaged, or something else has the file’s name (mismatched).',
      ['reason'],
    )
    this.ranges = counter('ranges_revised_total', 'Ranges that got a manifest that names merged files.')
    this.removed = counter('removed_total', 'What merged files replaced and was removed: objects, manifests.', ['what'])
    this.failures = counter('failures_total', 'Tries that failed, by the code of the error.', ['reason'])
    this.waiting = new Gauge({
      name: 'compaction_plans_uncleared',
      help: 'Plans that were carried out and whose old objects are there still.',
      registers,
    })
    void new Gauge({
      name: 'compaction_lag_seconds',
      help: 'Time since the end of the last hour whose files were gone through; 0 while none was.',
      registers,
      collect() {
        this.set(lag() ?? 0)
      },
    })
  }
}

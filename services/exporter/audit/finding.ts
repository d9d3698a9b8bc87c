/** What an audit found. A `problem` makes it fail; a `note` is for the reader. `todo` says what to do about it. */
export interface AuditFinding {
  readonly level: 'problem' | 'note'
  readonly kind: FindingKind
  /** The object's, or of what speaks of it; the partition's manifests' prefix where there is none. */
  readonly key: string
  readonly says: string
  readonly todo?: string
}

export type FindingKind =
  | 'gap'
  | 'overlap'
  | 'missing_manifest'
  | 'bad_manifest'
  | 'missing_object'
  | 'damaged_object'
  | 'uncovered'
  | 'foreign'
  | 'in_flight'
  | 'replaced'
  | 'begins'
  | 'warehouse_missing'
  | 'warehouse_extra'

/** One partition of one life of the topic, in numbers. */
export interface PartitionReport {
  readonly epoch: string
  readonly partition: number
  ranges: number
  /** By its manifests, whatever the audit was narrowed to; and bytes as stored. */
  events: number
  bytes: number
  gaps: number
  overlaps: number
  damaged: number
  missing: number
  foreign: number
  /** In objects of a range that is being written. */
  inFlight: number
  readonly warehouse: WarehouseReport
}

/** Of the events that were compared; all zero when the warehouse was left out. */
export interface WarehouseReport {
  compared: number
  missing: number
  extra: number
  /** Not there because they were deleted, or because the warehouse does not take them: as it should be. */
  erased: number
  rejected: number
  /** In ranges that the loader has not finished. */
  notLoaded: number
}

export const newReport = ({
  epoch,
  partition,
}: {
  readonly epoch: string
  readonly partition: number
}): PartitionReport => ({
  epoch,
  partition,
  ranges: 0,
  events: 0,
  bytes: 0,
  gaps: 0,
  overlaps: 0,
  damaged: 0,
  missing: 0,
  foreign: 0,
  inFlight: 0,
  warehouse: { compared: 0, missing: 0, extra: 0, erased: 0, rejected: 0, notLoaded: 0 },
})

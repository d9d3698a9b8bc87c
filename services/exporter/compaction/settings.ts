export interface CompactionSettings {
  /** Whether new plans are made; what was begun is finished all the same. */
  readonly enabled: boolean
  /** Of a merged file, at most; objects that are as large stay as they are. */
  readonly targetBytes: number
  /** After its end an hour is closed. */
  readonly closedAfterMs: number
  /** How long what was replaced stays, for readers that have just read an old manifest. */
  readonly graceMs: number
  /** Of one plan. */
  readonly piecesMax: number
  /** Manifests that are looked at for one plan. */
  readonly rangesMax: number
  /** A plan without merges is written when as many were looked at, so that the next owner need not look again. */
  readonly rangesUnwritten: number
  /** Files that are made at once: each waits in a file of the data folder until it is sent. */
  readonly mergesAtOnce: number
  /** Ranges that get their next manifest, or lose old objects, at once. */
  readonly rangesAtOnce: number
}

const MIB = 1024 * 1024

export const COMPACTION_DEFAULTS: CompactionSettings = {
  enabled: true,
  targetBytes: 128 * MIB,
  closedAfterMs: 900_000,
  graceMs: 600_000,
  piecesMax: 10_000,
  rangesMax: 5_000,
  rangesUnwritten: 500,
  mergesAtOnce: 2,
  rangesAtOnce: 8,
}

import type { ArchiveFormat } from './domain/archive-format.ts'

export interface ExporterSettings {
  readonly format: ArchiveFormat
  /** A range is sealed when its lines have this many bytes, uncompressed, */
  readonly rangeBytesMax: number
  /** or goes to this many objects, */
  readonly rangeObjectsMax: number
  /** or when its oldest event has waited this long. */
  readonly rangeAgeMs: number
  /** Of events in memory, over all partitions; past it they wait in files. */
  readonly memoryBytesMax: number
  /** Of these files, over all partitions; past it ranges are sealed early. */
  readonly spoolBytesMax: number
  /** Objects that are compressed and sent at once, over all partitions. */
  readonly uploadsMax: number
  readonly retryDelayMs: number
  readonly retryDelayMaxMs: number
  /** How long a stop waits for the upload in hand. */
  readonly drainMs: number
}

const MIB = 1024 * 1024

export const EXPORTER_DEFAULTS: ExporterSettings = {
  format: 'jsonl.gz',
  rangeBytesMax: 128 * MIB,
  rangeObjectsMax: 2_000,
  rangeAgeMs: 300_000,
  memoryBytesMax: 96 * MIB,
  spoolBytesMax: 8_192 * MIB,
  uploadsMax: 4,
  retryDelayMs: 200,
  retryDelayMaxMs: 15_000,
  drainMs: 10_000,
}

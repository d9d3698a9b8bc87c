/**
 * Lines of JSON, compressed: gzip is what every reader has; zstd is smaller and takes less of the processor. Or Avro object
 * containers, for readers who want a schema.
 */
export const ARCHIVE_FORMATS = ['jsonl.gz', 'jsonl.zst', 'avro'] as const
export type ArchiveFormat = (typeof ARCHIVE_FORMATS)[number]

/** Files of these formats, one behind the other, are a file of the format: members of gzip, frames of zstd. */
const JOINABLE: ReadonlySet<ArchiveFormat> = new Set(['jsonl.gz', 'jsonl.zst'])
export const isJoinable = (format: ArchiveFormat): boolean => JOINABLE.has(format)

export const isArchiveFormat = (text: string): text is ArchiveFormat =>
  ARCHIVE_FORMATS.some((format) => format === text)

export const CONTENT_TYPES = {
  'jsonl.gz': 'application/gzip',
  'jsonl.zst': 'application/zstd',
  avro: 'application/vnd.apache.avro+binary',
} as const satisfies Readonly<Record<ArchiveFormat, string>>

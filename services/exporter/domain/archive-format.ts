/** JSON lines, compressed. gzip is what every reader has; zstd is smaller and takes less of the processor. */
export const ARCHIVE_FORMATS = ['jsonl.gz', 'jsonl.zst'] as const
export type ArchiveFormat = (typeof ARCHIVE_FORMATS)[number]

export const isArchiveFormat = (text: string): text is ArchiveFormat =>
  ARCHIVE_FORMATS.some((format) => format === text)

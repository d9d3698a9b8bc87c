import { AppError } from '../../shared/errors.ts'
import { type ArchiveFormat, isArchiveFormat } from './archive-format.ts'

/** A range of one partition, both ends included, and the form its objects take. */
export interface ExportIntent {
  readonly first: bigint
  readonly last: bigint
  readonly format: ArchiveFormat
}

/**
 * What an object's bytes depend on besides its records and its format: how a line is written. Raise it with that, and
 * keep the old way for intents that name the old version.
 */
export const LINE_VERSION = 1

/** The words of a commit that promises to export exactly this range, in this way. */
export const formatIntent = ({ first, last, format }: ExportIntent): string =>
  `v1;r=${first}-${last};c=${LINE_VERSION};f=${format}`

/**
 * The intent in a commit's metadata; undefined when it holds none. Throws CONFIG_INVALID for one that this version
 * cannot carry out: another range, or other bytes, would be there twice.
 */
export function parseIntent(metadata: string, committedOffset: bigint): ExportIntent | undefined {
  if (metadata === '') return undefined
  const [, first = '', last = '', version, format = ''] = /^v1;r=(\d+)-(\d+);c=(\d+);f=([a-z.]+)$/.exec(metadata) ?? []
  if (first === '' || Number(version) !== LINE_VERSION || !isArchiveFormat(format)) {
    throw new AppError('CONFIG_INVALID', 'A newer exporter left a range that this version does not know how to finish.')
  }
  const intent = { first: BigInt(first), last: BigInt(last), format }
  if (intent.first !== committedOffset || intent.last < intent.first) {
    throw new AppError('CONFIG_INVALID', 'The exporter group has a commit whose offset and intent do not fit.')
  }
  return intent
}

import { AppError } from '../../shared/errors.ts'

/** Offsets of one batch, both ends included. */
export interface OffsetRange {
  readonly first: bigint
  readonly last: bigint
}

/**
 * What the effect of a range depends on besides its records: the encoding of rows, their order, how a range is split.
 * Raise it with any of these, and keep the old way for intents that name the old version.
 */
export const EFFECT_VERSION = 1

/** The words of a commit that promises to load exactly this range. */
export const formatIntent = ({ first, last }: OffsetRange): string => `v1;r=${first}-${last};c=${EFFECT_VERSION}`

/**
 * The intent in a commit's metadata; undefined when it holds none. Throws CONFIG_INVALID for one that this version of
 * the loader cannot carry out: loading another range, or in another way, could double rows.
 */
export function parseIntent(metadata: string, committedOffset: bigint): OffsetRange | undefined {
  if (metadata === '') return undefined
  const match = /^v1;r=(\d+)-(\d+);c=(\d+)$/.exec(metadata)
  const range = match === null ? undefined : { first: BigInt(match[1] ?? 0), last: BigInt(match[2] ?? 0) }
  if (range === undefined || Number(match?.[3]) !== EFFECT_VERSION) {
    throw new AppError('CONFIG_INVALID', 'A newer loader left a batch that this version does not know how to finish.')
  }
  if (range.first !== committedOffset || range.last < range.first) {
    throw new AppError('CONFIG_INVALID', 'The loader group has a commit whose offset and intent do not fit.')
  }
  return range
}

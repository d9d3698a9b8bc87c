import type { ArchiveFormat } from './archive-format.ts'
import { type PartName, partPrefix } from './archive-key.ts'

/** What the name of a merged file says: which plan made it, and its place among that plan's files. */
export interface MergedName {
  readonly project: string
  /** Start of the hour of arrival, milliseconds since 1970. */
  readonly hourMs: number
  readonly plan: number
  readonly index: number
}

/**
 * `events/PROJECT/2025-01-31/23/COLLECTION/merged+PLAN+INDEX.jsonl.gz`; `mark`, sixteen hexadecimal digits, tells those
 * apart that came of one when events were erased.
 */
export const mergedKey = (
  part: PartName,
  { plan, index }: Pick<MergedName, 'plan' | 'index'>,
  format: ArchiveFormat,
  mark?: string,
): string => `${partPrefix(part)}merged+${plan}+${index}.${mark === undefined ? '' : `${mark}.`}${format}`

const MERGED_KEY =
  /^events\/([^/]+)\/(\d{4}-\d\d-\d\d)\/(\d\d)\/[^/]+\/merged\+(\d{1,10})\+(\d{1,10})\.(?:[0-9a-f]{16}\.)?jsonl\.(?:gz|zst)$/

/** Undefined for a key that `mergedKey` does not make. */
export function parseMergedKey(key: string): MergedName | undefined {
  const [, project, date, hour, plan, index] = MERGED_KEY.exec(key) ?? []
  if (project === undefined || plan === undefined || index === undefined) return undefined
  return { project, hourMs: Date.parse(`${date}T${hour}:00:00.000Z`), plan: Number(plan), index: Number(index) }
}

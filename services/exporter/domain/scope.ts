import { HOUR_MS } from './archive-key.ts'

/** What of an archive is looked at. Hours are those of arrival; `fromMs` is included, `toMs` is not; both are whole hours. */
export interface ArchiveScope {
  readonly project: string | undefined
  readonly fromMs: number | undefined
  readonly toMs: number | undefined
}

export const WHOLE_ARCHIVE: ArchiveScope = { project: undefined, fromMs: undefined, toMs: undefined }

export const isWhole = ({ project, fromMs, toMs }: ArchiveScope): boolean =>
  project === undefined && fromMs === undefined && toMs === undefined

/** Widened to the hours that they touch, since an object holds an hour. */
export const toHours = ({ project, fromMs, toMs }: ArchiveScope): ArchiveScope => ({
  project,
  fromMs: fromMs === undefined ? undefined : Math.floor(fromMs / HOUR_MS) * HOUR_MS,
  toMs: toMs === undefined ? undefined : Math.ceil(toMs / HOUR_MS) * HOUR_MS,
})

export const isInScope = (
  { project, fromMs, toMs }: ArchiveScope,
  object: { readonly project: string; readonly hourMs: number },
): boolean =>
  (project === undefined || object.project === project) &&
  (fromMs === undefined || object.hourMs >= fromMs) &&
  (toMs === undefined || object.hourMs < toMs)

/** A name for it: two scopes with one name hold the same objects. */
export const scopeName = ({ project, fromMs, toMs }: ArchiveScope): string =>
  `${project ?? '*'} ${fromMs ?? '*'} ${toMs ?? '*'}`

/** The rows of `events` that stand for its events, as a condition with its parameters; empty for a whole archive. */
export function scopeCondition({ project, fromMs, toMs }: ArchiveScope): {
  readonly sql: string
  readonly params: Readonly<Record<string, unknown>>
} {
  const parts = [
    project === undefined ? '' : ' AND project = {project:String}',
    fromMs === undefined ? '' : ' AND created_at >= fromUnixTimestamp64Milli({fromMs:Int64})',
    toMs === undefined ? '' : ' AND created_at < fromUnixTimestamp64Milli({toMs:Int64})',
  ]
  const given = Object.entries({ project, fromMs, toMs }).filter(([, value]) => value !== undefined)
  return { sql: parts.join(''), params: Object.fromEntries(given) }
}

import { AppError } from '../errors.ts'
import type { Deletion } from '../deletions/model.ts'
import type { Filter } from '../filters/filter.ts'
import { parseFilters } from '../filters/parse.ts'
import { type KeyLimits, readLimits } from '../limits/domain/key-limits.ts'
import type { KeyKind, KeyOptions, Permission, ProjectKey } from './model.ts'

declare const granted: unique symbol

/**
 * What an authenticated key may do in one project. Only `Registry.authenticate` and tests make one (through
 * `grantOf`), and the query compiler takes nothing else: without a grant there is no SQL.
 */
export interface Grant {
  readonly [granted]: true
  readonly projectId: string
  /** The key's id, safe to log. */
  readonly keyId: string
  readonly kind: KeyKind
  readonly permitted: ReadonlySet<Permission>
  readonly options: KeyOptions
  /** What the project was given for keys of this kind, instead of the deployment's defaults. */
  readonly projectLimits: KeyLimits
  /** Of the key itself. */
  readonly ownLimits: KeyLimits
  /**
   * The project's deletions in a collection as they are now, done ones too: what was asked to be gone is not the key's to
   * see, from the moment it was asked.
   */
  readonly deletionsOf: DeletionsOf
  /**
   * Which rows it sees: none of these filters may be false. Of an ad-hoc question, unless the grant was derived for something
   * else. Reading it throws InvalidFilterError for a key whose filters this version does not understand: it sees nothing.
   */
  readonly rowFilters: readonly Filter[]
}

export type DeletionsOf = (collection: string) => readonly Deletion[]

export const NO_OPTIONS: KeyOptions = {
  writes: null,
  queries: null,
  saved_queries: null,
  cached_queries: null,
  datasets: null,
}

const ALL_READS: readonly Permission[] = ['queries', 'saved_queries', 'cached_queries', 'datasets', 'schema']

/** Of the keys that every project is made with. */
export const PREDEFINED_PERMISSIONS: Readonly<Record<Exclude<KeyKind, 'access'>, readonly Permission[]>> = {
  master: ['writes', ...ALL_READS, 'query_definition'],
  read: ALL_READS,
  write: ['writes'],
}

const PERMITTED: Readonly<Record<Exclude<KeyKind, 'access'>, ReadonlySet<Permission>>> = {
  master: new Set(PREDEFINED_PERMISSIONS.master),
  read: new Set(PREDEFINED_PERMISSIONS.read),
  write: new Set(PREDEFINED_PERMISSIONS.write),
}

/** The grant of a key that has been checked to be the one presented, and active. Services take grants from the registry. */
export function grantOf(
  key: ProjectKey,
  deletionsOf: DeletionsOf,
  projectLimitsOf: (kind: KeyKind) => KeyLimits = () => ({}),
): Grant {
  const options = key.kind === 'access' ? key.options : NO_OPTIONS
  let rowFilters: readonly Filter[] | undefined
  return {
    projectId: key.projectId,
    keyId: key.id,
    kind: key.kind,
    permitted: key.kind === 'access' ? new Set(key.permitted) : PERMITTED[key.kind],
    deletionsOf,
    options,
    ownLimits: readLimits(options.limits),
    get projectLimits() {
      return projectLimitsOf(key.kind)
    },
    get rowFilters() {
      rowFilters ??= parseFilters(options.queries?.filters, 'options.queries.filters')
      return rowFilters
    },
  } as Grant
}

/**
 * The grant under which a key runs saved and cached queries. Their filters are those of `saved_queries`; where that group
 * says nothing about filters, those of `queries`: a key that sees one customer's rows when it asks does not see all of them
 * through a question that somebody else saved. Who wants that says `"saved_queries": {"filters": []}`. Filters restrict
 * whether or not their group is permitted.
 */
export function grantForSavedQueries(grant: Grant): Grant {
  const own = grant.options.saved_queries?.['filters'] ?? null
  return own === null ? grant : { ...grant, rowFilters: parseFilters(own, 'options.saved_queries.filters') }
}

/** The grant of a master key, itself. Throws AdminOnlyEndpointError for every other one. */
export function masterOnly(grant: Grant): Grant {
  if (grant.kind === 'master') return grant
  throw new AppError('AdminOnlyEndpointError', 'This resource needs the project’s master key.')
}

/** What services ask of the registry for every request; costs no I/O. */
export interface Authenticator {
  /**
   * Throws ResourceNotFoundError when the project is not there (looked at before the key, as SDKs expect), and
   * InvalidApiKeyError when the key is missing, unknown, revoked, or another project's.
   */
  authenticate(projectId: string, presentedKey: string | undefined): Grant
}

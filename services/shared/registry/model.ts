import type { DefinitionKind } from '../../../schemas/control/records.ts'

export type { DefinitionKind }

/**
 * What the control topic holds, decoded. Everything here is immutable: a change is a new record.
 */

export type KeyKind = 'master' | 'read' | 'write' | 'access'

/** Of an access key, in the words of the Keen 3.0 API. */
export const PERMISSIONS = [
  'writes',
  'queries',
  'saved_queries',
  'cached_queries',
  'datasets',
  'schema',
  'query_definition',
] as const
export type Permission = (typeof PERMISSIONS)[number]

/** As the API takes and gives it; groups that are not set are null. Filters are in the query language's JSON form, already checked. */
export interface KeyOptions {
  readonly writes: {
    readonly autofill?: Readonly<Record<string, unknown>> | null
    /** Of scoped keys: an event with another value where the autofill has one is refused rather than changed. */
    readonly mayNotContradict?: boolean
  } | null
  readonly queries: { readonly filters?: readonly unknown[] | null } | null
  readonly saved_queries: Readonly<Record<string, unknown>> | null
  readonly cached_queries: Readonly<Record<string, unknown>> | null
  readonly datasets: Readonly<Record<string, unknown>> | null
  /** Narrower than those of its project; see `limitsFor`. Left out by keys that were made before there were any. */
  readonly limits?: Readonly<Record<string, unknown>> | null
}

export interface Project {
  readonly id: string
  readonly organizationId: string
  readonly name: string
  readonly isActive: boolean
  readonly users: readonly { readonly email: string }[]
  readonly preferences: Readonly<Record<string, unknown>>
  readonly createdAtMs: number
}

export interface ProjectKey {
  /** Ours, safe to log. Never the secret. */
  readonly id: string
  readonly projectId: string
  readonly kind: KeyKind
  /** The key itself; encrypted in the log, in clear only in memory. 64 upper-case hex characters. */
  readonly secret: string
  readonly name: string
  readonly isActive: boolean
  readonly permitted: readonly Permission[]
  readonly options: KeyOptions
  readonly createdAtMs: number
}

/** Something of a project that a service keeps by its name. The service checked `value` before it went in. */
export interface Definition {
  readonly kind: DefinitionKind
  readonly projectId: string
  readonly name: string
  /** Another one with each change, the same in every process. */
  readonly version: string
  readonly createdAtMs: number
  readonly changedAtMs: number
  readonly value: Readonly<Record<string, unknown>>
}

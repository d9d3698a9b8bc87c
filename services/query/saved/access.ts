import { AppError } from '../../shared/errors.ts'
import { type Grant, grantForSavedQueries } from '../../shared/registry/grant.ts'

/** A query with a refresh rate is governed by `cached_queries`, one without by `saved_queries`. */
export type Group = 'saved_queries' | 'cached_queries'
const GROUPS: readonly Group[] = ['saved_queries', 'cached_queries']

export const groupOf = (refreshRateS: number): Group => (refreshRateS > 0 ? 'cached_queries' : 'saved_queries')

/**
 * May read a query's definition: the master key, and an access key with `query_definition` unless its options keep the name
 * from it. `refreshRateS` undefined: there is no such query, which a key learns only about names it may have.
 */
export function requireDefinition(grant: Grant, name: string, refreshRateS: number | undefined): void {
  if (grant.kind === 'master') return
  if (grant.kind !== 'access') throw adminOnly()
  if (!grant.permitted.has('query_definition')) throw denied('query_definition')
  const groups = refreshRateS === undefined ? GROUPS : [groupOf(refreshRateS)]
  if (!groups.some((group) => isNameAllowed(grant, group, name))) throw denied(`the saved query ${name}`)
}

/** May have a query's result. Throws KeyNotAuthorizedError. */
export function requireResult(grant: Grant, name: string, refreshRateS: number | undefined): void {
  const groups = refreshRateS === undefined ? GROUPS : [groupOf(refreshRateS)]
  const permitted = groups.filter((group) => grant.permitted.has(group))
  if (permitted.length === 0) throw denied(groups.join(' or '))
  if (!permitted.some((group) => isNameAllowed(grant, group, name))) throw denied(`the saved query ${name}`)
}

/** Under which a query is run for the key, and whether it sees all that a stored result was made from. */
export function runGrant(grant: Grant): { readonly grant: Grant; readonly seesAll: boolean } {
  const own = grantForSavedQueries(grant)
  return { grant: own, seesAll: own.rowFilters.length === 0 }
}

/** Blocked beats allowed; an empty list of the allowed is nothing, none is everything. */
function isNameAllowed(grant: Grant, group: Group, name: string): boolean {
  const options = grant.options[group]
  if (namesOf(options?.['blocked'])?.includes(name) === true) return false
  return namesOf(options?.['allowed'])?.includes(name) ?? true
}

/** Null: not set. What is no list was never let in by the key's API; it allows and blocks nothing. */
function namesOf(value: unknown): readonly unknown[] | null {
  if (value === undefined || value === null) return null
  return Array.isArray(value) ? value : []
}

const adminOnly = (): AppError =>
  new AppError('AdminOnlyEndpointError', 'This resource needs the project’s master key.')
const denied = (what: string): AppError => new AppError('KeyNotAuthorizedError', `This key does not permit ${what}.`)

import { AppError } from '../../shared/errors.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Dataset, IndexValues } from './definition.ts'

export type DatasetOperation = 'list' | 'read' | 'retrieve'

type Options = Readonly<Record<string, unknown>>

/** Throws KeyNotAuthorizedError when the key's options leave the operation out. */
export function requireOperation(grant: Grant, operation: DatasetOperation): void {
  const operations = optionsOf(grant)['operations'] ?? null
  if (operations === null || (Array.isArray(operations) && operations.includes(operation))) return
  throw new AppError('KeyNotAuthorizedError', `This key does not permit to ${operation} datasets.`)
}

/** Whether there is this dataset for the key: what is blocked is not, whatever is allowed. */
export function isVisible(grant: Grant, name: string): boolean {
  const { blocked = null, allowed = null } = optionsOf(grant)
  if (blocked !== null && (!Array.isArray(blocked) || blocked.includes(name))) return false
  return allowed === null || (isObject(allowed) && Object.hasOwn(allowed, name))
}

/** Throws KeyNotAuthorizedError; whether the dataset exists is not told either. */
export function requireVisible(grant: Grant, name: string): void {
  if (!isVisible(grant, name)) throw new AppError('KeyNotAuthorizedError', 'This key does not permit this dataset.')
}

/** Throws KeyNotAuthorizedError for values that are not in the key's lists. A list for a property that is no index of the dataset allows nothing: it cannot be kept to. */
export function requireIndexValues(grant: Grant, name: string, dataset: Dataset, values: IndexValues): void {
  requireVisible(grant, name)
  const { allowed = null } = optionsOf(grant)
  if (!isObject(allowed)) return
  const entry = allowed[name]
  const limits = isObject(entry) ? (entry['index_by'] ?? null) : undefined
  if (limits === null) return
  const areAllowed =
    isObject(limits) &&
    Object.entries(limits).every(([property, list]) => {
      const value = values[dataset.indexBy.indexOf(property)]
      return value !== undefined && Array.isArray(list) && list.includes(value)
    })
  if (!areAllowed) throw new AppError('KeyNotAuthorizedError', 'This key does not permit these values of index_by.')
}

const optionsOf = (grant: Grant): Options => grant.options.datasets ?? {}
const isObject = (value: unknown): value is Options =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

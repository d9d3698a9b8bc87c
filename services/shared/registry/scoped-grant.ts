import type { Filter } from '../filters/filter.ts'
import type { KeyLimits } from '../limits/domain/key-limits.ts'
import { type DeletionsOf, type Grant, grantOf, NO_OPTIONS } from './grant.ts'
import type { KeyKind, KeyOptions, Permission } from './model.ts'
import type { Scope } from './scoped-key.ts'

/** Safe to log: scoped keys are stored nowhere, and have no id of their own. */
const KEY_ID = 'scoped'

/**
 * What a scoped key may do in the project whose master key made it. Under filters, results that were computed beforehand
 * over all rows are not for it. Events that it writes get the values of its `eq` filters, and may not contradict them;
 * a key with any other filter may not write, because nothing would keep its events within what it stands for.
 */
export function scopedGrant(
  projectId: string,
  scope: Scope,
  deletionsOf: DeletionsOf,
  limitsOf?: (kind: KeyKind) => KeyLimits,
): Grant {
  const permitted: Permission[] = []
  if (scope.reads) permitted.push('queries', 'saved_queries', 'schema')
  if (scope.reads && scope.filters.length === 0) permitted.push('cached_queries', 'datasets')
  const autofill = autofillOf(scope.parsed)
  if (scope.writes && autofill !== undefined) permitted.push('writes')
  const { filters } = scope
  const options: KeyOptions = {
    ...NO_OPTIONS,
    queries: { filters },
    saved_queries: { filters },
    writes: scope.parsed.length === 0 ? null : { autofill: autofill ?? null, mayNotContradict: true },
  }
  const key = {
    id: KEY_ID,
    projectId,
    kind: 'access',
    secret: '',
    name: KEY_ID,
    isActive: true,
    createdAtMs: 0,
  } as const
  return grantOf({ ...key, permitted, options }, deletionsOf, limitsOf)
}

type Values = Record<string, unknown>

/** The values that filters ask for, as an event has them; undefined when they cannot all be had that way. */
function autofillOf(filters: readonly Filter[]): Readonly<Values> | undefined {
  const event: Values = Object.create(null) as Values
  for (const filter of filters) {
    if (filter.kind !== 'equals' || filter.property.kind !== 'property') return undefined
    const { segments } = filter.property
    if (segments[0] === 'keen' || segments.includes('__proto__') || !put(event, segments, filter.value))
      return undefined
  }
  // Plain objects, as everything that reads events expects.
  return JSON.parse(JSON.stringify(event)) as Values
}

/** False when something else is there. */
function put(event: Values, path: readonly string[], value: unknown): boolean {
  const [name, ...rest] = path
  if (name === undefined) return false
  const old = event[name]
  if (rest.length === 0) {
    event[name] = value
    return old === undefined || old === value
  }
  if (old !== undefined && typeof old !== 'object') return false
  const inner = (old ?? (Object.create(null) as Values)) as Values
  event[name] = inner
  return put(inner, rest, value)
}

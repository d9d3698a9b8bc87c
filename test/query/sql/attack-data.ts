import type { StoredEvent } from '../stored-events.ts'
import { hexId } from '../stored-events.ts'

export const PROJECT = 'a'.repeat(24)
const OTHER = 'b'.repeat(24)
const START_MS = Date.UTC(2026, 0, 1)
/** Stands in every row that the key does not see. */
export const SECRET = 'SECRET'
export const KEY_FILTERS = [{ property_name: 'tenant', operator: 'eq', property_value: 't1' }]

const event = (n: number, project: string, collection: string, body: object): StoredEvent => ({
  project,
  collection,
  timestampMs: START_MS + n * 60_000,
  createdAtMs: START_MS + n * 60_000,
  id: hexId(n),
  body: JSON.stringify(body),
})

/** Rows of the key, rows of another tenant that would make a condition fail, and another project's. */
export const EVENTS: readonly StoredEvent[] = [
  ...[1, 2, 3].map((n) =>
    event(n, PROJECT, 'purchases', { tenant: 't1', name: `own-${n}`, price: n, code: `${n}`, tags: ['x'] }),
  ),
  event(4, PROJECT, 'users', { tenant: 't1', name: 'own-1', code: '1' }),
  event(5, PROJECT, 'purchases', { tenant: 't2', name: `${SECRET}-1`, price: 99, code: `${SECRET}-c` }),
  event(6, PROJECT, 'purchases', {
    tenant: 't2',
    name: `${SECRET}-2`,
    price: `${SECRET}-p`,
    code: 'x',
    tags: [SECRET],
  }),
  event(7, PROJECT, 'users', { tenant: 't2', name: `${SECRET}-3`, code: `${SECRET}-c` }),
  event(8, PROJECT, 'purchases', { name: `${SECRET}-4`, price: 99, code: SECRET }),
  event(9, OTHER, 'purchases', { tenant: 't1', name: `${SECRET}-5`, price: 99, code: SECRET }),
  event(10, OTHER, 'others', { tenant: 't1', name: `${SECRET}-6`, price: 99, code: SECRET }),
]

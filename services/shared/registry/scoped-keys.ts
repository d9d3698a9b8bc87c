import { LRUCache } from 'lru-cache'
import type { KeyLimits } from '../limits/domain/key-limits.ts'
import type { DeletionsOf, Grant } from './grant.ts'
import type { KeyKind } from './model.ts'
import type { StoredKey } from './records.ts'
import { scopedGrant } from './scoped-grant.ts'
import { mayBeScoped, readScopedKey } from './scoped-key.ts'

/** Two processes may have made one at the same moment; more are never there. */
const MASTER_KEYS_MAX = 2

export interface ScopedKeyDeps {
  readonly lookup: (text: string) => string
  readonly keysOf: (projectId: string) => readonly StoredKey[]
  readonly deletionsOf: (projectId: string) => DeletionsOf
  readonly limitsOf: (projectId: string) => (kind: KeyKind) => KeyLimits
  readonly keysMax: number
}

/**
 * Grants of scoped keys, remembered by a keyed hash for those that were good: guesses must not push them out. What is
 * remembered counts only while the same record of the project's master key does.
 */
export class ScopedKeys {
  readonly #deps: ScopedKeyDeps
  readonly #known: LRUCache<string, { readonly master: StoredKey; readonly grant: Grant }>

  constructor(deps: ScopedKeyDeps) {
    this.#deps = deps
    this.#known = new LRUCache({ max: deps.keysMax })
  }

  /** Undefined when `presented` is no scoped key of this project. */
  grant(projectId: string, presented: string): Grant | undefined {
    if (!mayBeScoped(presented)) return undefined
    const masters = this.#deps
      .keysOf(projectId)
      .filter(({ kind, isActive }) => kind === 'master' && isActive)
      .slice(0, MASTER_KEYS_MAX)
    const hash = this.#deps.lookup(`${projectId}/${presented.toLowerCase()}`)
    const known = this.#known.get(hash)
    if (known !== undefined && masters.includes(known.master)) return known.grant
    for (const master of masters) {
      const scope = readScopedKey(presented, master.secret)
      if (scope === undefined) continue
      const grant = scopedGrant(projectId, scope, this.#deps.deletionsOf(projectId), this.#deps.limitsOf(projectId))
      this.#known.set(hash, { master, grant })
      return grant
    }
    this.#known.delete(hash)
    return undefined
  }
}

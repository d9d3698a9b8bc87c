import { DeletionIndex } from '../deletions/deletion-index.ts'
import { type KeyLimits, readLimits } from '../limits/domain/key-limits.ts'
import { type DeletionsOf, grantOf, type Grant } from './grant.ts'
import { DefinitionTable } from './definition-table.ts'
import type { KeyKind, Project } from './model.ts'
import type { Change, StoredKey } from './records.ts'

export interface HeldKey {
  readonly key: StoredKey
  readonly grant: Grant
}

/**
 * Everything the control topic says, in memory. The newest record of each project and each key decides, in whatever
 * order the two came: compaction moves a project's record behind those of its keys.
 */
export class RegistryState {
  readonly definitions = new DefinitionTable()
  readonly deletions = new DeletionIndex(this.definitions)
  readonly #projects = new Map<string, Project>()
  readonly #keysOfProject = new Map<string, Map<string, HeldKey>>()
  readonly #byLookup = new Map<string, HeldKey>()
  /** Keys that were sealed with another deployment secret, by the key of their record. */
  readonly #foreign = new Set<string>()

  get projectCount(): number {
    return this.#projects.size
  }

  get keyCount(): number {
    return this.#byLookup.size
  }

  get foreignKeyCount(): number {
    return this.#foreign.size
  }

  apply(change: Change): void {
    switch (change.kind) {
      case 'project':
        this.#projects.set(change.id, change.project)
        return
      case 'no project':
        this.#projects.delete(change.id)
        return
      case 'key':
      case 'no key': {
        const { projectId, id } = change
        const place = `${projectId}/${id}`
        this.#foreign.delete(place)
        this.#removeKey(projectId, id)
        if (change.kind === 'key') this.#addKey(change.key)
        else if (change.aside === 'foreign_secret') this.#foreign.add(place)
        return
      }
      case 'definition':
        this.definitions.set(change.definition)
        return
      case 'no definition':
        this.definitions.remove(change.of, change.projectId, change.name)
        return
      case 'other':
        return
      default:
        change satisfies never
    }
  }

  project(id: string): Project | undefined {
    return this.#projects.get(id)
  }

  *projects(): Iterable<Project> {
    yield* this.#projects.values()
  }

  /** Also those of a project that is not there (any more). */
  keys(projectId: string): readonly StoredKey[] {
    return Array.from(this.#keysOfProject.get(projectId)?.values() ?? [], (held) => held.key)
  }

  keyCountOf(projectId: string): number {
    return this.#keysOfProject.get(projectId)?.size ?? 0
  }

  key(projectId: string, keyId: string): StoredKey | undefined {
    return this.#keysOfProject.get(projectId)?.get(keyId)?.key
  }

  /** Whichever project's it is, and active or not. */
  find(lookup: string): HeldKey | undefined {
    return this.#byLookup.get(lookup)
  }

  /** What grants of the project leave out, as it stands when they are asked. */
  deletionsOf(projectId: string): DeletionsOf {
    return (collection) => this.deletions.of(projectId, collection)
  }

  /** What the project's organization set for its keys, by their kind. */
  limitsOf(projectId: string): (kind: KeyKind) => KeyLimits {
    return (kind) => {
      const { limits } = this.#projects.get(projectId)?.preferences ?? {}
      return readLimits(typeof limits === 'object' && limits !== null ? Reflect.get(limits, kind) : undefined)
    }
  }

  #addKey(key: StoredKey): void {
    const held = { key, grant: grantOf(key, this.deletionsOf(key.projectId), this.limitsOf(key.projectId)) }
    const siblings = this.#keysOfProject.get(key.projectId)
    if (siblings === undefined) this.#keysOfProject.set(key.projectId, new Map([[key.id, held]]))
    else siblings.set(key.id, held)
    this.#byLookup.set(key.lookup, held)
  }

  #removeKey(projectId: string, keyId: string): void {
    const siblings = this.#keysOfProject.get(projectId)
    const held = siblings?.get(keyId)
    if (siblings === undefined || held === undefined) return
    siblings.delete(keyId)
    if (siblings.size === 0) this.#keysOfProject.delete(projectId)
    // A record copied under another id would have the same hash; only its own goes.
    if (this.#byLookup.get(held.key.lookup) === held) this.#byLookup.delete(held.key.lookup)
  }
}

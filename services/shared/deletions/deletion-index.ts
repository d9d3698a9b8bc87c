import type { DefinitionTable } from '../registry/definition-table.ts'
import { type Deletion, deletionOf } from './model.ts'

/** The deletions of each collection, those that are done among them, oldest first. Follows its table. */
export class DeletionIndex {
  readonly #table: DefinitionTable
  readonly #byProject = new Map<string, Map<string, readonly Deletion[]>>()
  /** Of each deletion, to find it when its definition is gone. */
  readonly #collectionOf = new Map<string, string>()

  constructor(table: DefinitionTable) {
    this.#table = table
    table.onChange((kind, projectId, id) => (kind === 'deletion' ? this.#update(projectId, id) : undefined))
  }

  /** False when there is none at all, so that nobody need ask for each event. */
  get isEmpty(): boolean {
    return this.#byProject.size === 0
  }

  of(projectId: string, collection: string): readonly Deletion[] {
    return this.#byProject.get(projectId)?.get(collection) ?? NONE
  }

  #update(projectId: string, id: string): void {
    const place = `${projectId}/${id}`
    const definition = this.#table.get('deletion', projectId, id)
    const deletion = definition === undefined ? null : deletionOf(definition)
    const collection = deletion?.collection ?? this.#collectionOf.get(place)
    if (collection === undefined) return
    const collections = this.#byProject.get(projectId) ?? new Map<string, readonly Deletion[]>()
    const others = (collections.get(collection) ?? NONE).filter((other) => other.id !== id)
    const all = deletion === null ? others : [...others, deletion].toSorted((a, b) => a.atMs - b.atMs)
    if (deletion === null) this.#collectionOf.delete(place)
    else this.#collectionOf.set(place, collection)
    if (all.length > 0) collections.set(collection, all)
    else collections.delete(collection)
    if (collections.size > 0) this.#byProject.set(projectId, collections)
    else this.#byProject.delete(projectId)
  }
}

const NONE: readonly Deletion[] = []

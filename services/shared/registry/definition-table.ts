import type { Definition, DefinitionKind } from './model.ts'

export type DefinitionListener = (kind: DefinitionKind, projectId: string, name: string) => void

/** All definitions of all projects, as the newest record of each says. */
export class DefinitionTable {
  readonly #byPlace = new Map<string, Map<string, Definition>>()
  readonly #listeners = new Set<DefinitionListener>()

  set(definition: Definition): void {
    const { kind, projectId, name } = definition
    const place = `${kind}/${projectId}`
    const siblings = this.#byPlace.get(place)
    if (siblings === undefined) this.#byPlace.set(place, new Map([[name, definition]]))
    else siblings.set(name, definition)
    this.#tell(kind, projectId, name)
  }

  remove(kind: DefinitionKind, projectId: string, name: string): void {
    const place = `${kind}/${projectId}`
    const siblings = this.#byPlace.get(place)
    if (siblings?.delete(name) !== true) return
    if (siblings.size === 0) this.#byPlace.delete(place)
    this.#tell(kind, projectId, name)
  }

  get(kind: DefinitionKind, projectId: string, name: string): Definition | undefined {
    return this.#byPlace.get(`${kind}/${projectId}`)?.get(name)
  }

  /** By name. */
  list(kind: DefinitionKind, projectId: string): readonly Definition[] {
    const found = [...(this.#byPlace.get(`${kind}/${projectId}`)?.values() ?? [])]
    return found.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  count(kind: DefinitionKind, projectId: string): number {
    return this.#byPlace.get(`${kind}/${projectId}`)?.size ?? 0
  }

  *all(kind: DefinitionKind): Iterable<Definition> {
    for (const [place, siblings] of this.#byPlace) if (place.startsWith(`${kind}/`)) yield* siblings.values()
  }

  onChange(listener: DefinitionListener): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  #tell(kind: DefinitionKind, projectId: string, name: string): void {
    for (const listener of this.#listeners) listener(kind, projectId, name)
  }
}

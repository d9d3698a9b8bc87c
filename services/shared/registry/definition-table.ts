import type { Definition, DefinitionKind } from './model.ts'

export type DefinitionListener = (kind: DefinitionKind, projectId: string, name: string) => void

const NONE: readonly Definition[] = []

/** All definitions of all projects, as the newest record of each says. */
export class DefinitionTable {
  readonly #byPlace = new Map<string, Map<string, Definition>>()
  /** By name, until something of the place changes. */
  readonly #sorted = new Map<string, readonly Definition[]>()
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
    const place = `${kind}/${projectId}`
    const siblings = this.#byPlace.get(place)
    if (siblings === undefined) return NONE
    const known = this.#sorted.get(place)
    if (known !== undefined) return known
    const sorted = [...siblings.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
    this.#sorted.set(place, sorted)
    return sorted
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
    this.#sorted.delete(`${kind}/${projectId}`)
    for (const listener of this.#listeners) listener(kind, projectId, name)
  }
}

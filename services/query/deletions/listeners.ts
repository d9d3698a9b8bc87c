import { deletionOf } from '../../shared/deletions/model.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'

/** What keeps results of earlier questions. */
export interface DeletionListener {
  /** Something of this collection was, or is about to be, deleted: what was computed from it before is no longer true. */
  onDeleted(projectId: string, collection: string): void
}

/** Tells all listeners of each deletion, whichever process took it, when it is asked for and at every step after. */
export function tellOfDeletions(definitions: Definitions, listeners: readonly DeletionListener[]): () => void {
  return definitions.onChange((kind, projectId, name) => {
    if (kind !== 'deletion') return
    const definition = definitions.get(kind, projectId, name)
    const deletion = definition === undefined ? null : deletionOf(definition)
    if (deletion === null) return
    for (const listener of listeners) listener.onDeleted(projectId, deletion.collection)
  })
}

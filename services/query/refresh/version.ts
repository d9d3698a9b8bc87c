import { createHash } from 'node:crypto'
import type { Definitions } from '../../shared/registry/definitions.ts'
import type { Definition } from '../../shared/registry/model.ts'

/**
 * What a stored result is good for: the query as it is defined now, on a collection from which so much was deleted and no
 * more. Another definition, or another deletion, is another version, in every process at once and after every restart,
 * and a result of another version is never served.
 */
export type ResultVersion = (definition: Definition, collections: readonly string[]) => string

export const createResultVersion =
  (definitions: Pick<Definitions, 'list'>): ResultVersion =>
  (definition, collections) => {
    const deletions = definitions
      .list('deletion', definition.projectId)
      .filter(({ value }) => typeof value['collection'] !== 'string' || collections.includes(value['collection']))
    if (deletions.length === 0) return definition.version
    const names = deletions.map(({ name }) => name).toSorted()
    return `${definition.version}-${createHash('sha256').update(names.join('/')).digest('hex').slice(0, 16)}`
  }

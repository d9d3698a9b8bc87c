import type { DefinitionKind } from '../registry/model.ts'

/** How far a deletion is in the archive's files: a definition of this kind under the deletion's id. */
export const ERASURE_KIND = 'erasure' satisfies DefinitionKind

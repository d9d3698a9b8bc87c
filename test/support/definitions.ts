import { DeletionIndex } from '../../services/shared/deletions/deletion-index.ts'
import { DefinitionTable } from '../../services/shared/registry/definition-table.ts'
import { createDefinitions, type Definitions } from '../../services/shared/registry/definitions.ts'
import { decodeDefinitionRecord } from '../../services/shared/registry/records.ts'

/** The registry's definitions without a log beneath, of any project; `now` is milliseconds since 1970. */
export function memoryDefinitions(now: () => number): {
  readonly definitions: Definitions
  readonly deletions: DeletionIndex
} {
  const table = new DefinitionTable()
  const deletions = new DeletionIndex(table)
  const definitions = createDefinitions({
    table,
    hasProject: () => true,
    append: async (messages) => {
      for (const message of messages) {
        const change = decodeDefinitionRecord(message)
        if (change?.kind === 'definition') table.set(change.definition)
        else if (change !== undefined) table.remove(change.of, change.projectId, change.name)
      }
    },
    now,
    perKindMax: 1_000,
  })
  return { definitions, deletions }
}

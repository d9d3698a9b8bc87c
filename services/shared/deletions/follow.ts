import type { EventLog } from '../log/port.ts'
import { CONTROL_TOPIC } from '../log/topics.ts'
import { DefinitionTable } from '../registry/definition-table.ts'
import { startFollowing } from '../registry/following.ts'
import { decodeDefinitionRecord } from '../registry/records.ts'
import { DeletionIndex } from './deletion-index.ts'

export interface FollowedDeletions {
  readonly deletions: DeletionIndex
  /** Aborts, with the reason, when the control topic can no longer be followed. */
  readonly failed: AbortSignal
  close(): Promise<void>
}

/**
 * The deletions alone, for a process that has no registry: it needs no secret. Resolves once all that were in the control
 * topic are known; rejects as the log's `follow` does.
 */
export async function followDeletions(log: Pick<EventLog, 'follow'>, signal: AbortSignal): Promise<FollowedDeletions> {
  const table = new DefinitionTable()
  const deletions = new DeletionIndex(table)
  const following = startFollowing(
    log,
    CONTROL_TOPIC,
    (record) => {
      const change = decodeDefinitionRecord(record)
      if (change?.kind === 'definition' && change.definition.kind === 'deletion') table.set(change.definition)
      if (change?.kind === 'no definition' && change.of === 'deletion')
        table.remove(change.of, change.projectId, change.name)
    },
    signal,
  )
  try {
    await following.caughtUp
  } catch (error) {
    await following.stop()
    throw error
  }
  return { deletions, failed: following.failed, close: async () => following.stop() }
}

import { randomBytes } from 'node:crypto'
import { AppError } from '../../errors.ts'
import type { TopicInfo, TopicSpec } from '../port.ts'
import type { Store, TopicRow } from './store.ts'

/** The row of a topic. Throws LOG_UNAVAILABLE when it is not there. */
export function topicRow(store: Store, name: string): TopicRow {
  const row = store.topics.get(name)
  if (row === undefined) throw new AppError('LOG_UNAVAILABLE', 'topic is not there', { details: { topic: name } })
  return row
}

export const topicInfo = (name: string, { partitions, epoch }: TopicRow): TopicInfo => ({ name, partitions, epoch })

function check(spec: TopicSpec, row: TopicRow | undefined): void {
  if (row === undefined) return
  const details = { topic: spec.name }
  if (row.partitions < spec.partitions) {
    throw new AppError('CONFIG_INVALID', 'topic has fewer partitions than asked for', {
      details: { ...details, partitions: row.partitions, asked: spec.partitions },
    })
  }
  if (row.compacted !== spec.compacted) {
    throw new AppError('CONFIG_INVALID', 'topic has the other cleanup rule', { details })
  }
}

/** As the port says; of a topic that is there, the retention becomes what was asked for. */
export function ensureTopics(store: Store, specs: readonly TopicSpec[]): Promise<readonly TopicInfo[]> {
  return store.write(() => {
    for (const spec of specs) check(spec, store.topics.get(spec.name))
    return specs.map((spec) => {
      const there = store.topics.get(spec.name)
      const row: TopicRow = {
        partitions: there?.partitions ?? spec.partitions,
        compacted: spec.compacted,
        retentionMs: spec.retentionMs ?? null,
        retentionBytes: spec.retentionBytes ?? null,
        epoch: there?.epoch ?? randomBytes(12).toString('base64url'),
      }
      store.topics.putSync(spec.name, row)
      return topicInfo(spec.name, row)
    })
  })
}

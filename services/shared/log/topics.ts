import type { TopicSpec } from './port.ts'

/** One event a message: Avro single-object encoding of `schemas/avro/event.v1.avsc`. */
export const EVENTS_TOPIC = 'tributary.events'
/** Projects, keys and every other definition; compacted, read whole by every process into its registry. */
export const CONTROL_TOPIC = 'tributary.control'
/** What a worker could not use, with its reason and where it came from. */
export const DEAD_LETTER_TOPIC = 'tributary.dead-letter'

/** Has no records: its partitions are what processes hold to know whose a share of periodic work is. */
export const SHARES_TOPIC = 'tributary.shares'
/** Fixed, so that a thing's share is the same for ever. */
export const SHARES = 16

const DAY_MS = 86_400_000

/** The topics of a deployment. Control has one partition, so that all processes see changes in one order. */
export function topicSpecs(settings: {
  readonly eventPartitions: number
  readonly retentionMs: number
  readonly retentionBytes: number
}): readonly TopicSpec[] {
  return [
    {
      name: EVENTS_TOPIC,
      partitions: settings.eventPartitions,
      compacted: false,
      retentionMs: settings.retentionMs,
      retentionBytes: settings.retentionBytes,
    },
    { name: CONTROL_TOPIC, partitions: 1, compacted: true },
    { name: DEAD_LETTER_TOPIC, partitions: 1, compacted: false, retentionMs: 30 * DAY_MS },
    { name: SHARES_TOPIC, partitions: SHARES, compacted: false, retentionMs: DAY_MS },
  ]
}

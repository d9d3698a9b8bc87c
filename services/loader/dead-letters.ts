import type { EventLog, PartitionClaim } from '../shared/log/port.ts'
import { DEAD_LETTER_TOPIC } from '../shared/log/topics.ts'
import type { DeadRecord } from './domain/dead.ts'

/** A message must stay below the megabyte that a broker takes; base64 adds a third. The whole record is still in its topic. */
const PAYLOAD_BYTES_MAX = 512 * 1024
const MESSAGES_A_CALL = 50

/**
 * Writes records that cannot be used to the dead-letter topic; resolves once they are durable. The key names the record,
 * so that a reader can tell one that a replay wrote again.
 */
export async function writeDeadLetters(
  log: EventLog,
  claim: Pick<PartitionClaim, 'topic' | 'partition' | 'epoch'>,
  dead: readonly DeadRecord[],
): Promise<void> {
  const { topic, partition, epoch } = claim
  for (let start = 0; start < dead.length; start += MESSAGES_A_CALL) {
    const messages = dead.slice(start, start + MESSAGES_A_CALL).map(({ record, reason }) => {
      const bytes = record.value ?? Buffer.alloc(0)
      const payload = bytes.subarray(0, PAYLOAD_BYTES_MAX).toString('base64')
      const value = { reason, topic, epoch, partition, offset: String(record.offset), bytes: bytes.length, payload }
      return {
        partition: 0,
        key: Buffer.from(`${topic}/${epoch}/${partition}/${record.offset}`),
        value: Buffer.from(JSON.stringify(value)),
      }
    })
    await log.append(DEAD_LETTER_TOPIC, messages)
  }
}

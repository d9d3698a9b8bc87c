import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { Batch } from './batch-reader.ts'
import { sortForTable, splitForInserts } from '../shared/events/domain/arrange.ts'
import type { DeadRecord } from './domain/dead.ts'
import {
  type DecodeEvent,
  decodeRecord,
  type DecodedEvent,
  type ReasonOf,
} from '../shared/events/domain/decode-record.ts'
import type { Erase } from '../shared/deletions/domain/erase.ts'
import type { RowBuffers } from './row-buffers.ts'
import { eventRowsBytes, writeEventRow } from '../shared/events/rows.ts'
import { RowBinaryWriter } from '../shared/warehouse/row-binary.ts'

/** Records worked on without letting anything else run: about ten milliseconds. */
const STRETCH = 4_000

/** Rows of some events. Where the parts are cut does not depend on what is erased: a replay may know of more deletions. */
export interface InsertPart {
  readonly events: readonly DecodedEvent[]
  readonly rowBinary: Buffer
  /** Without those that were deleted. */
  readonly rowCount: number
}

export interface PreparedBatch {
  readonly batch: Batch
  /** In offset order. */
  readonly events: readonly DecodedEvent[]
  readonly dead: readonly DeadRecord[]
  /** The inserts, where they need nothing but the records: no event of the batch can be a repeat. */
  readonly parts: readonly InsertPart[] | undefined
}

export interface RowEncoder {
  readonly buffers: RowBuffers
  readonly erase: Erase
}

/** Rows of `events`, in the given order, without what was deleted. */
export async function encodeRows(
  epoch: string,
  events: readonly DecodedEvent[],
  { buffers, erase }: RowEncoder,
): Promise<InsertPart> {
  const writer = new RowBinaryWriter(buffers.take(eventRowsBytes(events)))
  let rowCount = 0
  for (let start = 0; start < events.length; start += STRETCH) {
    if (start > 0) await yieldToOthers()
    for (const item of events.slice(start, start + STRETCH)) {
      const event = erase(item.event)
      if (event === null) continue
      writeEventRow(writer, epoch, event === item.event ? item : { event, record: item.record })
      rowCount += 1
    }
  }
  return { events, rowBinary: writer.finish(), rowCount }
}

/** Events in the order of the table, cut into inserts. A function of the events alone. */
export async function toParts(
  epoch: string,
  events: readonly DecodedEvent[],
  encoder: RowEncoder,
): Promise<readonly InsertPart[]> {
  const parts: InsertPart[] = []
  for (const part of splitForInserts(sortForTable(events), ({ event }) => event.timestampMs)) {
    parts.push(await encodeRows(epoch, part, encoder))
  }
  return parts
}

/** Does what can be done with a batch before it is its turn: this runs while the insert of the one before is running. */
export async function prepare(
  epoch: string,
  batch: Batch,
  decode: DecodeEvent,
  reasonOf: ReasonOf,
  encoder: RowEncoder,
): Promise<PreparedBatch> {
  const events: DecodedEvent[] = []
  const dead: DeadRecord[] = []
  for (const [index, record] of batch.records.entries()) {
    if (index > 0 && index % STRETCH === 0) await yieldToOthers()
    const decoded = decodeRecord(record, decode, reasonOf)
    if ('event' in decoded) events.push(decoded)
    else dead.push(decoded)
  }
  const hasKeys = events.some(({ event }) => event.repeatKey !== null)
  return { batch, events, dead, parts: hasKeys ? undefined : await toParts(epoch, events, encoder) }
}

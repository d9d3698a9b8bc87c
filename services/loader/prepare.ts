import { setImmediate as yieldToOthers } from 'node:timers/promises'
import type { Batch } from './batch-reader.ts'
import { sortForTable, splitForInserts } from './domain/arrange.ts'
import { type DeadRecord, type DecodeEvent, decodeRecord, type LoadableEvent, type ReasonOf } from './domain/decode.ts'
import type { RowBuffers } from './row-buffers.ts'
import { eventRowsBytes, writeEventRow } from './rows.ts'
import { RowBinaryWriter } from '../shared/warehouse/row-binary.ts'

/** Records worked on without letting anything else run: about ten milliseconds. */
const STRETCH = 4_000

export interface InsertPart {
  readonly events: readonly LoadableEvent[]
  readonly rowBinary: Buffer
}

export interface PreparedBatch {
  readonly batch: Batch
  /** In offset order. */
  readonly events: readonly LoadableEvent[]
  readonly dead: readonly DeadRecord[]
  /** The inserts, where they need nothing but the records: no event of the batch can be a repeat. */
  readonly parts: readonly InsertPart[] | undefined
}

/** Rows of `events`, in the given order. */
export async function encodeRows(
  epoch: string,
  events: readonly LoadableEvent[],
  buffers: RowBuffers,
): Promise<Buffer> {
  const writer = new RowBinaryWriter(buffers.take(eventRowsBytes(events)))
  for (let start = 0; start < events.length; start += STRETCH) {
    if (start > 0) await yieldToOthers()
    for (const item of events.slice(start, start + STRETCH)) writeEventRow(writer, epoch, item)
  }
  return writer.finish()
}

/** Events in the order of the table, cut into inserts. A function of the events alone. */
export async function toParts(
  epoch: string,
  events: readonly LoadableEvent[],
  buffers: RowBuffers,
): Promise<readonly InsertPart[]> {
  const parts: InsertPart[] = []
  for (const part of splitForInserts(sortForTable(events), ({ event }) => event.timestampMs)) {
    parts.push({ events: part, rowBinary: await encodeRows(epoch, part, buffers) })
  }
  return parts
}

/** Does what can be done with a batch before it is its turn: this runs while the insert of the one before is running. */
export async function prepare(
  epoch: string,
  batch: Batch,
  decode: DecodeEvent,
  reasonOf: ReasonOf,
  buffers: RowBuffers,
): Promise<PreparedBatch> {
  const events: LoadableEvent[] = []
  const dead: DeadRecord[] = []
  for (const [index, record] of batch.records.entries()) {
    if (index > 0 && index % STRETCH === 0) await yieldToOthers()
    const decoded = decodeRecord(record, decode, reasonOf)
    if ('event' in decoded) events.push(decoded)
    else dead.push(decoded)
  }
  const hasKeys = events.some(({ event }) => event.repeatKey !== null)
  return { batch, events, dead, parts: hasKeys ? undefined : await toParts(epoch, events, buffers) }
}

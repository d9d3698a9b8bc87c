import { randomUUID } from 'node:crypto'
import { repeatName } from '../shared/events/repeats.ts'
import type { ReadLimits, Warehouse } from '../shared/warehouse/port.ts'
import type { DecodedEvent } from '../shared/events/domain/decode-record.ts'

/** Keys in one question: their text stays below the 256 KiB that a server takes of a statement. */
const KEYS_A_QUESTION = 5_000

const LIMITS: ReadLimits = {
  executionS: 60,
  rowsToRead: 0,
  memoryBytes: 1024 * 1024 * 1024,
  resultRows: 1_000_000,
  resultBytes: 512 * 1024 * 1024,
}

// What this partition holds from the range's first offset on is left out: a first attempt at this very range may have
// stored it, and the range must decide the same again.
const SQL = `SELECT project, collection, lower(hex(repeat_key)), toUnixTimestamp64Milli(created_at)
FROM event_repeats
WHERE repeat_key IN (SELECT toFixedString(unhex(arrayJoin({keys:Array(String)})), 16))
  AND NOT (log_epoch = {epoch:String} AND log_partition = {partition:UInt32} AND log_offset >= {first:UInt64})`

/**
 * Times of receipt of the stored events that the events of a range may repeat, by repeat name. Rejects as
 * `Warehouse.read` does.
 */
export async function storedRepeats(
  warehouse: Warehouse,
  range: { readonly epoch: string; readonly partition: number; readonly first: bigint },
  events: readonly DecodedEvent[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const keys = [...new Set(events.flatMap(({ event }) => event.repeatKey?.toString('hex') ?? []))]
  const stored = new Map<string, number[]>()
  for (let start = 0; start < keys.length; start += KEYS_A_QUESTION) {
    const params = { keys: keys.slice(start, start + KEYS_A_QUESTION), ...range }
    const { rows } = await warehouse.read({
      sql: SQL,
      params,
      limits: LIMITS,
      queryId: randomUUID(),
      signal,
      lane: 'load',
    })
    for (const [project, collection, key, createdAtMs] of rows) {
      const name = repeatName(String(project), String(collection), String(key))
      const times = stored.get(name)
      if (times === undefined) stored.set(name, [Number(createdAtMs)])
      else times.push(Number(createdAtMs))
    }
  }
  return stored
}

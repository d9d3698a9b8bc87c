import { randomUUID } from 'node:crypto'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import type { PartitionName } from '../domain/archive-key.ts'
import { EMPTY_PRINT, PRINT_COLUMNS, type PrintValue } from '../domain/event-print.ts'
import type { Offsets } from '../domain/range-cover.ts'
import { type ArchiveScope, scopeCondition } from '../domain/scope.ts'

/** Ranges in one question: their text stays below the 256 KiB that a server takes of a statement. */
export const RANGES_A_QUESTION = 4_000

/** A whole table is looked through, in its narrowest columns. */
const LIMITS: ReadLimits = {
  executionS: 3_600,
  rowsToRead: 0,
  memoryBytes: 1024 * 1024 * 1024,
  resultRows: 4_000_000,
  resultBytes: 1024 * 1024 * 1024,
}

const WHERE = `WHERE log_epoch = {epoch:String} AND log_partition = {partition:UInt32}
  AND log_offset >= toUInt64({first:String}) AND log_offset <= toUInt64({last:String})`

const read = async (
  warehouse: Warehouse,
  sql: string,
  params: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
) => (await warehouse.read({ sql, params, limits: LIMITS, queryId: randomUUID(), signal, lane: 'load' })).rows

const within = ({ epoch, partition }: PartitionName, { first, last }: Offsets) => ({
  epoch,
  partition,
  first: String(first),
  last: String(last),
})

/**
 * What the warehouse has of each range, in one look through the table: a value for each of `ranges`, which are in order
 * and apart from each other, at most `RANGES_A_QUESTION`. Rejects as `Warehouse.read` does.
 */
export async function storedPrints(
  warehouse: Warehouse,
  partition: PartitionName,
  ranges: readonly Offsets[],
  scope: ArchiveScope,
  signal: AbortSignal,
): Promise<readonly PrintValue[]> {
  const [first, last] = [ranges[0], ranges.at(-1)]
  if (first === undefined || last === undefined) return []
  const { sql, params } = scopeCondition(scope)
  const rows = await read(
    warehouse,
    `SELECT toString(roundDown(log_offset, CAST({starts:Array(String)}, 'Array(UInt64)'))) AS start, ${PRINT_COLUMNS}
FROM events ${WHERE}${sql} GROUP BY start`,
    { ...within(partition, { first: first.first, last: last.last }), ...params, starts: startsOf(ranges) },
    signal,
  )
  const found = new Map<string, PrintValue>()
  for (const [start, count, high, low, offsets] of rows) {
    found.set(String(start), { count: Number(count), high: String(high), low: String(low), offsets: String(offsets) })
  }
  return ranges.map((range) => found.get(String(range.first)) ?? EMPTY_PRINT)
}

/** Where ranges begin, and where gaps between them do, so that what is in a gap counts for no range. */
function startsOf(ranges: readonly Offsets[]): readonly string[] {
  const starts: string[] = []
  for (const [index, { first, last }] of ranges.entries()) {
    starts.push(String(first))
    const next = ranges[index + 1]
    if (next !== undefined && next.first > last + 1n) starts.push(String(last + 1n))
  }
  return starts
}

/** The ids that the warehouse has at each offset of one range; more than one where rows are doubled. */
export async function storedIds(
  warehouse: Warehouse,
  partition: PartitionName,
  range: Offsets,
  scope: ArchiveScope,
  signal: AbortSignal,
): Promise<ReadonlyMap<bigint, readonly string[]>> {
  const { sql, params } = scopeCondition(scope)
  const rows = await read(
    warehouse,
    `SELECT toString(log_offset), groupArray(toString(id)) FROM events ${WHERE}${sql} GROUP BY log_offset`,
    { ...within(partition, range), ...params },
    signal,
  )
  return new Map(rows.map(([offset, ids]) => [BigInt(String(offset)), ids as readonly string[]]))
}

/** How many rows of `event_repeats` there are of each range. */
export async function storedRepeatCounts(
  warehouse: Warehouse,
  partition: PartitionName,
  ranges: readonly Offsets[],
  signal: AbortSignal,
): Promise<readonly number[]> {
  const [first, last] = [ranges[0], ranges.at(-1)]
  if (first === undefined || last === undefined) return []
  const rows = await read(
    warehouse,
    `SELECT toString(roundDown(log_offset, CAST({starts:Array(String)}, 'Array(UInt64)'))) AS start, count()
FROM event_repeats ${WHERE} GROUP BY start`,
    { ...within(partition, { first: first.first, last: last.last }), starts: startsOf(ranges) },
    signal,
  )
  const found = new Map(rows.map(([start, count]) => [String(start), Number(count)]))
  return ranges.map((range) => found.get(String(range.first)) ?? 0)
}

/** The offsets of one range that `event_repeats` has. */
export async function storedRepeatOffsets(
  warehouse: Warehouse,
  partition: PartitionName,
  range: Offsets,
  signal: AbortSignal,
): Promise<ReadonlySet<bigint>> {
  const sql = `SELECT DISTINCT toString(log_offset) FROM event_repeats ${WHERE}`
  const rows = await read(warehouse, sql, within(partition, range), signal)
  return new Set(rows.map(([offset]) => BigInt(String(offset))))
}

import { randomUUID } from 'node:crypto'
import type { Grant } from '../../shared/registry/grant.ts'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import { createBinder } from '../language/bind.ts'
import { bucketIndex, bucketSql } from '../language/buckets.ts'
import { eventsSource } from '../language/source.ts'
import type { Change, Mark } from './state.ts'

/** Which intervals have rows that came after the marks; `edges` are the intervals' bounds. Reads columns of numbers alone. */
export async function changesAfter(
  warehouse: Warehouse,
  grant: Grant,
  scope: { readonly collection: string; readonly edges: readonly number[] },
  marks: readonly Mark[],
  limits: ReadLimits,
  signal: AbortSignal,
): Promise<readonly Change[]> {
  const { collection, edges } = scope
  const binder = createBinder()
  const timeframe = { startMs: edges[0] ?? 0, endMs: edges.at(-1) ?? 0 }
  const columns = ['timestamp AS t', 'toString(log_epoch) AS e', 'log_partition AS p', 'log_offset AS o']
  const source = eventsSource(grant, { collection, timeframe }, columns, binder)
  const places = marks.map(({ epoch, partition }) => `${epoch}/${partition}`)
  const offsets = marks.map(({ before }) => before)
  const isNew =
    marks.length === 0
      ? ''
      : `\nWHERE toInt64(o) > transform(concat(e, '/', toString(p)), ${binder.bind(places, 'Array(String)')}, ${binder.bind(offsets, 'Array(Int64)')}, toInt64(-1))`
  const { rows } = await warehouse.read({
    sql: `SELECT ${bucketSql('t', edges, binder)} AS b, e, p, max(o)\nFROM ${source}${isNew}\nGROUP BY b, e, p`,
    params: binder.params,
    limits,
    queryId: randomUUID(),
    signal,
  })
  const placeOf = bucketIndex(edges)
  return rows.map(([bucket, epoch, partition, offset]) => ({
    bucket: placeOf(Number(bucket)),
    epoch: String(epoch),
    partition: Number(partition),
    offset: Number(offset),
  }))
}

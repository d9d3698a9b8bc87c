import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Deletion } from '../../shared/deletions/model.ts'
import { JSON_AS_SENT } from '../../shared/warehouse/settings.ts'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import { type Binder, createBinder } from '../language/bind.ts'
import { concerned, moment } from '../language/deleted.ts'
import { withoutPath } from '../language/without-property.ts'

const LIMITS: ReadLimits = {
  executionS: 600,
  rowsToRead: 0,
  memoryBytes: 1024 ** 3,
  resultRows: 1_000,
  resultBytes: 16 * 1024 ** 2,
}
const POLL_MS = 100

/** The warehouse said why it cannot, or rows are left that should be gone. */
export class DeletionFailed extends Error {
  override readonly name = 'DeletionFailed'
}

/**
 * Removes from the warehouse's disk what a deletion concerns; resolves once no row of it is left. Doing it again changes
 * nothing. Rejects with DeletionFailed, as `Warehouse.command` does, and with the signal's reason.
 */
export async function carryOut(warehouse: Warehouse, deletion: Deletion, signal: AbortSignal): Promise<void> {
  if (deletion.what === 'property') await removeProperty(warehouse, deletion, signal)
  else await removeRows(warehouse, deletion, signal)
  if (deletion.what !== 'events') await forgetProperties(warehouse, deletion, signal)
  const left = await leftOver(warehouse, deletion, signal)
  if (left > 0) throw new DeletionFailed(`${left} events are left`)
}

const place = (deletion: Deletion, binder: Binder): string =>
  `project = ${binder.bind(deletion.projectId, 'String')} AND collection = ${binder.bind(deletion.collection, 'String')}`

async function removeRows(warehouse: Warehouse, deletion: Deletion, signal: AbortSignal): Promise<void> {
  const binder = createBinder()
  const where = `${place(deletion, binder)} AND ${concerned(deletion, binder)} AND ${mark(deletion)}`
  await warehouse.command(`ALTER TABLE events DELETE WHERE ${where}`, binder.params)
  await untilMutated(warehouse, 'events', deletion.id, signal)
}

/**
 * As an update rather than a mutation: a mutation reads JSON by the server's defaults, which take texts that look like
 * dates for dates, and these rows must stay as they were but for one property.
 */
async function removeProperty(warehouse: Warehouse, deletion: Deletion, signal: AbortSignal): Promise<void> {
  await warehouse.command(
    'ALTER TABLE events MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1',
  )
  const binder = createBinder()
  const { body, properties } = withoutPath(deletion.segments, binder)
  const where = `${place(deletion, binder)} AND ${concerned(deletion, binder)}`
  const settings = Object.entries({ ...JSON_AS_SENT, allow_experimental_lightweight_update: 1 })
  await warehouse.command(
    `UPDATE events SET properties = ${properties}, body = ${body} WHERE ${where} ` +
      `SETTINGS ${settings.map(([name, value]) => `${name} = ${value}`).join(', ')}`,
    binder.params,
  )
  // Until then the old values would lie beside the new ones on the disk.
  await warehouse.command('ALTER TABLE events APPLY PATCHES')
  await untilMutated(warehouse, 'events', 'APPLY PATCHES', signal)
}

/** From the catalogue; what was seen again since stays. */
async function forgetProperties(warehouse: Warehouse, deletion: Deletion, signal: AbortSignal): Promise<void> {
  const binder = createBinder()
  const conditions = [place(deletion, binder), `last_seen <= ${moment(deletion.atMs, binder)}`, mark(deletion)]
  if (deletion.what === 'property') {
    const path = deletion.segments.join('.')
    const [own, below] = [binder.bind(path, 'String'), binder.bind(`${path}.`, 'String')]
    conditions.push(`(path = ${own} OR startsWith(path, ${below}))`)
  }
  await warehouse.command(`ALTER TABLE event_properties DELETE WHERE ${conditions.join(' AND ')}`, binder.params)
  await untilMutated(warehouse, 'event_properties', deletion.id, signal)
}

/** Always true, and found again in the list of mutations. */
const mark = (deletion: Deletion): string => `'${deletion.id.replaceAll(/[^A-Za-z0-9_-]/g, '')}' != ''`

async function untilMutated(warehouse: Warehouse, table: string, marked: string, signal: AbortSignal): Promise<void> {
  const sql = `SELECT mutation_id, latest_fail_reason != '' FROM system.mutations
WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done AND position(command, {marked:String}) > 0`
  for (;;) {
    const { rows } = await ask(warehouse, sql, { table, marked }, signal)
    if (rows.length === 0) return
    const failed = rows.find(([, hasFailed]) => Boolean(hasFailed))
    if (failed !== undefined) {
      await warehouse.command(
        'KILL MUTATION WHERE database = currentDatabase() AND table = {table:String} AND mutation_id = {id:String}',
        { table, id: failed[0] },
      )
      throw new DeletionFailed('the warehouse cannot carry the mutation out')
    }
    await delay(POLL_MS, undefined, { signal })
  }
}

async function leftOver(warehouse: Warehouse, deletion: Deletion, signal: AbortSignal): Promise<number> {
  const binder = createBinder()
  const sql = `SELECT count() FROM events WHERE ${place(deletion, binder)} AND ${concerned(deletion, binder)}`
  const { rows } = await ask(warehouse, sql, binder.params, signal)
  return Number(rows[0]?.[0] ?? 0)
}

const ask = async (warehouse: Warehouse, sql: string, params: Readonly<Record<string, unknown>>, signal: AbortSignal) =>
  warehouse.read({ sql, params, limits: LIMITS, queryId: randomUUID(), signal, lane: 'load' })

import { randomUUID } from 'node:crypto'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import type { PartitionName } from '../domain/archive-key.ts'

const LIMITS: ReadLimits = {
  executionS: 60,
  rowsToRead: 0,
  memoryBytes: 512 * 1024 * 1024,
  resultRows: 1_000_000,
  resultBytes: 256 * 1024 * 1024,
}

const SAVE = `INSERT INTO replays SELECT {scope:String}, {run:String}, {epoch:String}, {partition:UInt32},
  toUInt64({next:String}), {finished:UInt8}, now64(6)`

/**
 * One replay of one scope, remembered in the warehouse that it fills: taken up again after a crash under the same name,
 * so that its inserts have the same tokens; over when it came to its end, so that the next one looks at everything anew.
 */
export class ReplayRun {
  readonly id: string
  readonly isResumed: boolean
  readonly #warehouse: Warehouse
  readonly #scope: string
  readonly #next: ReadonlyMap<string, bigint>

  private constructor(
    warehouse: Warehouse,
    scope: string,
    unfinished: { readonly id: string; readonly next: ReadonlyMap<string, bigint> } | undefined,
  ) {
    this.#warehouse = warehouse
    this.#scope = scope
    this.id = unfinished?.id ?? randomUUID()
    this.isResumed = unfinished !== undefined
    this.#next = unfinished?.next ?? new Map()
  }

  /** The unfinished run of the scope, or a new one when there is none or `anew`. Rejects as the warehouse does. */
  static async open(warehouse: Warehouse, scope: string, anew: boolean, signal: AbortSignal): Promise<ReplayRun> {
    const unfinished = anew ? undefined : await unfinishedRun(warehouse, scope, signal)
    const run = new ReplayRun(warehouse, scope, unfinished)
    if (unfinished === undefined) await run.#save({ epoch: '', partition: 0 }, 0n, false)
    return run
  }

  /** Ranges that end before it are done. */
  next(partition: PartitionName): bigint {
    return this.#next.get(nameOf(partition)) ?? 0n
  }

  async done(partition: PartitionName, next: bigint): Promise<void> {
    await this.#save(partition, next, false)
  }

  async finish(): Promise<void> {
    await this.#save({ epoch: '', partition: 0 }, 0n, true)
  }

  async #save({ epoch, partition }: PartitionName, next: bigint, isFinished: boolean): Promise<void> {
    const params = { scope: this.#scope, run: this.id, epoch, partition, next: String(next) }
    await this.#warehouse.command(SAVE, { ...params, finished: isFinished ? 1 : 0 })
  }
}

async function unfinishedRun(warehouse: Warehouse, scope: string, signal: AbortSignal) {
  const read = async (sql: string, params: Readonly<Record<string, unknown>>) =>
    (await warehouse.read({ sql, params, limits: LIMITS, queryId: randomUUID(), signal, lane: 'load' })).rows
  const newest = await read(
    `SELECT run, max(finished) FROM replays WHERE scope = {scope:String} AND log_epoch = ''
GROUP BY run ORDER BY min(saved_at) DESC LIMIT 1`,
    { scope },
  )
  const [run, finished] = newest[0] ?? []
  if (typeof run !== 'string' || Number(finished) === 1) return undefined
  const id = run
  const rows = await read(
    `SELECT log_epoch, log_partition, toString(max(next_offset)) FROM replays
WHERE scope = {scope:String} AND run = {run:String} AND log_epoch != '' GROUP BY log_epoch, log_partition`,
    { scope, run: id },
  )
  const next = rows.map(([epoch, partition, offset]): [string, bigint] => [
    nameOf({ epoch: String(epoch), partition: Number(partition) }),
    BigInt(String(offset)),
  ])
  return { id, next: new Map(next) }
}

const nameOf = ({ epoch, partition }: PartitionName): string => `${epoch}/${partition}`

import { randomUUID } from 'node:crypto'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import { RowBinaryWriter } from '../../shared/warehouse/row-binary.ts'
import type { Row } from '../language/shape.ts'
import type { RunPlace } from '../refresh/runs.ts'

/** The table `dataset_cells`. */

export interface Cell {
  /** Of the index values: see `indexKey`. */
  readonly key: string
  /** Where the interval begins, in milliseconds since 1970. */
  readonly bucketMs: number
  /** The interval and the index values left out. */
  readonly rows: readonly Row[]
}

export interface StoredCell extends Cell {
  readonly generation: string
}

export interface CellStore {
  /** Not to be seen until a run names the generation. */
  store(place: RunPlace, generation: string, cells: Iterable<Cell>, signal: AbortSignal): Promise<void>
  /** Those of the intervals that begin from `fromMs` on and before `beforeMs`, of all generations named. */
  read(
    place: RunPlace,
    keys: readonly string[],
    range: { readonly fromMs: number; readonly beforeMs: number; readonly generations: readonly string[] },
    signal: AbortSignal,
  ): Promise<readonly StoredCell[]>
  /** Removes what was computed before a moment and is of other versions, or of generations that are not named. */
  tidy(
    projectId: string,
    name: string,
    keep: { readonly version: string; readonly generations: readonly string[]; readonly beforeMs: number },
  ): Promise<void>
  /** Removes all of a definition, whose version its cells' begin with; not those of a later one of the same name. */
  forget(projectId: string, name: string, definitionVersion: string): Promise<void>
}

const TABLE = 'dataset_cells'
const COLUMNS = ['project', 'name', 'version', 'index_key', 'bucket', 'generation', 'cell_rows', 'computed_at']
const INSERT_BYTES = 8 * 1_048_576
const INSERT_MS = 60_000
const LIMITS: ReadLimits = {
  executionS: 30,
  rowsToRead: 100_000_000,
  memoryBytes: 1024 ** 3,
  resultRows: 1_000_000,
  resultBytes: 256 * 1_048_576,
}

export function createCellStore(warehouse: Warehouse, now: () => number): CellStore {
  return {
    async store({ projectId, name, version }, generation, cells, signal) {
      let writer = new RowBinaryWriter(INSERT_BYTES)
      let rowCount = 0
      const flush = async (): Promise<void> => {
        if (rowCount === 0) return
        await warehouse.insert({
          table: TABLE,
          columns: COLUMNS,
          rowBinary: writer.finish(),
          rowCount,
          // Each is another one: nobody inserts a generation's cells again.
          token: randomUUID(),
          deadlineMs: performance.now() + INSERT_MS,
          signal,
        })
        writer = new RowBinaryWriter(INSERT_BYTES)
        rowCount = 0
      }
      for (const { key, bucketMs, rows } of cells) {
        for (const text of [projectId, name, version, key]) writer.string(text)
        writer.uint64(BigInt.asUintN(64, BigInt(bucketMs)))
        writer.string(generation)
        writer.string(JSON.stringify(rows))
        writer.millis(now())
        rowCount++
        if (writer.length >= INSERT_BYTES) await flush()
      }
      await flush()
    },
    async read({ projectId, name, version }, keys, { fromMs, beforeMs, generations }, signal) {
      const { rows } = await warehouse.read({
        sql: `SELECT index_key, bucket, generation, cell_rows FROM ${TABLE}
WHERE project = {project:String} AND name = {name:String} AND version = {version:String} AND index_key IN ({keys:Array(String)})
  AND bucket >= {from:Int64} AND bucket < {before:Int64} AND generation IN ({generations:Array(String)})`,
        params: { project: projectId, name, version, keys, from: fromMs, before: beforeMs, generations },
        limits: LIMITS,
        queryId: randomUUID(),
        signal,
      })
      return rows.map(([key, bucketMs, generation, text]) => ({
        key: String(key),
        bucketMs: Number(bucketMs),
        generation: String(generation),
        rows: JSON.parse(String(text)) as readonly Row[],
      }))
    },
    async tidy(projectId, name, keep) {
      await warehouse.command(
        `DELETE FROM ${TABLE} WHERE project = {project:String} AND name = {name:String}
  AND computed_at < fromUnixTimestamp64Milli({beforeMs:Int64})
  AND NOT (version = {version:String} AND generation IN ({generations:Array(String)}))`,
        { project: projectId, name, ...keep },
      )
    },
    async forget(projectId, name, definitionVersion) {
      await warehouse.command(
        `DELETE FROM ${TABLE} WHERE project = {project:String} AND name = {name:String} AND startsWith(version, {version:String})`,
        { project: projectId, name, version: definitionVersion },
      )
    },
  }
}

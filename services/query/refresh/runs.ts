import { randomUUID } from 'node:crypto'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import { RowBinaryWriter } from '../../shared/warehouse/row-binary.ts'
import { NO_PROGRESS, type Progress } from './schedule.ts'

/** What became of each run, in a table of the warehouse, so that results outlive processes. */

/** Which question it was. */
export interface RunPlace {
  readonly projectId: string
  readonly name: string
  readonly version: string
}

export interface RunRecord extends RunPlace {
  readonly slot: number
  readonly share: number
  /** JSON texts; null: it failed. */
  readonly result: { readonly text: string; readonly metadataText: string } | null
  /** Why it failed; empty when it did not. */
  readonly message: string
  /** Of the slot, from 1. */
  readonly attempt: number
  readonly ranAtMs: number
  readonly durationMs: number
}

export interface LastRun {
  readonly isGood: boolean
  /** When the newest result was made; null: there is none. */
  readonly freshAtMs: number | null
  readonly message: string
  readonly ranAtMs: number
  readonly durationMs: number
}

export interface StoredResult {
  readonly text: string
  /** Empty: there is none. */
  readonly metadataText: string
  readonly ranAtMs: number
}

export interface RunStore {
  /** Stores a run once, however often it is told: a slot has one result, whoever computed it. */
  store(run: RunRecord, signal: AbortSignal): Promise<void>
  /** The newest result of exactly this version. */
  result(place: RunPlace, signal: AbortSignal): Promise<StoredResult | undefined>
  /** The last run of each version, by name and version (`placeKey`), of one query or of all of the project's. */
  lastRuns(projectId: string, name: string | null, signal: AbortSignal): Promise<ReadonlyMap<string, LastRun>>
  /** How far each query of a share is, by project, name and version (`progressKey`). */
  progress(share: number, signal: AbortSignal): Promise<ReadonlyMap<string, Progress>>
  /** Removes what a query's runs left, all or those of other versions; resolves when it is gone. */
  remove(projectId: string, name: string, exceptVersion?: string): Promise<void>
}

export type RunTable = 'cached_query_runs' | 'dataset_runs'

const COLUMNS = [
  'project',
  'name',
  'version',
  'slot',
  'share',
  'status',
  'message',
  'attempt',
  'ran_at',
  'duration_ms',
  'result',
  'execution_metadata',
]
const GOOD = 'success'
/** Far below what the table's memory of insert tokens spans. */
const INSERT_MS = 30_000

export const placeKey = (name: string, version: string): string => `${name}/${version}`
export const progressKey = ({ projectId, name, version }: RunPlace): string => `${projectId}/${name}/${version}`

export function createRunStore(warehouse: Warehouse, table: RunTable, resultBytesMax: number): RunStore {
  const limits: ReadLimits = {
    executionS: 30,
    rowsToRead: 100_000_000,
    memoryBytes: 512 * 1_048_576 + 8 * resultBytesMax,
    resultRows: 1_000_000,
    resultBytes: 64 * 1_048_576 + 8 * resultBytesMax,
  }
  const read = async (sql: string, params: Readonly<Record<string, unknown>>, signal: AbortSignal) =>
    (await warehouse.read({ sql, params, limits, queryId: randomUUID(), signal })).rows

  return {
    async store(run, signal) {
      const { result } = run
      const writer = new RowBinaryWriter(512 + (result?.text.length ?? 0))
      for (const text of [run.projectId, run.name, run.version]) writer.string(text)
      writer.uint64(BigInt(run.slot))
      writer.uint32(run.share)
      writer.string(result === null ? 'failed' : GOOD)
      writer.string(run.message)
      writer.uint32(run.attempt)
      writer.millis(run.ranAtMs)
      writer.uint32(Math.min(Math.round(run.durationMs), 0xffff_ffff))
      writer.string(result?.text ?? '')
      writer.string(result?.metadataText ?? '')
      // Results of a slot have one name, so that a second one is dropped; a failure is followed by another attempt.
      const effect = result === null ? `failed-${run.attempt}` : GOOD
      await warehouse.insert({
        table,
        columns: COLUMNS,
        rowBinary: writer.finish(),
        rowCount: 1,
        token: `${progressKey(run)}/${run.slot}/${effect}`,
        deadlineMs: performance.now() + INSERT_MS,
        signal,
      })
    },
    async result({ projectId, name, version }, signal) {
      const [row] = await read(
        `SELECT result, execution_metadata, toUnixTimestamp64Milli(ran_at) FROM ${table}
WHERE project = {project:String} AND name = {name:String} AND version = {version:String} AND status = '${GOOD}'
ORDER BY slot DESC, ran_at DESC LIMIT 1`,
        { project: projectId, name, version },
        signal,
      )
      return row && { text: String(row[0]), metadataText: String(row[1]), ranAtMs: Number(row[2]) }
    },
    async lastRuns(projectId, name, signal) {
      const rows = await read(
        `SELECT name, version, argMax(tuple(status, message, duration_ms), ran_at) AS last,
  last.1, last.2, last.3, toUnixTimestamp64Milli(max(ran_at)), countIf(status = '${GOOD}') > 0,
  toUnixTimestamp64Milli(maxIf(ran_at, status = '${GOOD}'))
FROM ${table} WHERE project = {project:String}${name === null ? '' : ' AND name = {name:String}'} GROUP BY name, version`,
        name === null ? { project: projectId } : { project: projectId, name },
        signal,
      )
      return new Map(
        rows.map(([of, version, _last, status, message, durationMs, ranAtMs, hasGood, goodAtMs]) => [
          placeKey(String(of), String(version)),
          {
            isGood: status === GOOD,
            freshAtMs: Number(hasGood) > 0 ? Number(goodAtMs) : null,
            message: String(message),
            durationMs: Number(durationMs),
            ranAtMs: Number(ranAtMs),
          },
        ]),
      )
    },
    async progress(share, signal) {
      const rows = await read(
        `SELECT project, name, version, countIf(status = '${GOOD}') > 0, maxIf(slot, status = '${GOOD}') AS good,
  argMaxIf(tuple(slot, attempt), ran_at, status != '${GOOD}') AS failed, failed.1, failed.2,
  toUnixTimestamp64Milli(maxIf(ran_at, status != '${GOOD}')), toUnixTimestamp64Milli(maxIf(ran_at, status = '${GOOD}'))
FROM ${table} WHERE share = {share:UInt32} GROUP BY project, name, version`,
        { share },
        signal,
      )
      return new Map(
        rows.map(([projectId, name, version, hasGood, good, _failed, failedSlot, attempt, failedAtMs, goodAtMs]) => {
          const slot = Number(hasGood) > 0 ? Number(good) : null
          const freshAtMs = slot === null ? null : Number(goodAtMs)
          const hasFailed = Number(attempt) > 0 && Number(failedSlot) > (slot ?? -1)
          return [
            progressKey({ projectId: String(projectId), name: String(name), version: String(version) }),
            hasFailed
              ? { slot, failures: Number(attempt), failedAtMs: Number(failedAtMs), freshAtMs }
              : { ...NO_PROGRESS, slot, freshAtMs },
          ]
        }),
      )
    },
    async remove(projectId, name, exceptVersion) {
      const others = exceptVersion === undefined ? '' : ' AND version != {version:String}'
      await warehouse.command(
        `DELETE FROM ${table} WHERE project = {project:String} AND name = {name:String}${others}`,
        { project: projectId, name, ...(exceptVersion === undefined ? {} : { version: exceptVersion }) },
      )
    },
  }
}

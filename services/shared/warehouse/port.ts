import type { Readable } from 'node:stream'

/**
 * The warehouse: ClickHouse, in the process (chDB) or over HTTP. One adapter serves both, through `@clickhouse/client`;
 * `test/contract/warehouse.ts` holds both connections to this promise.
 */

/** Bound as `{name:Type}` in SQL. Values never stand in the SQL text. */
export type QueryParams = Readonly<Record<string, unknown>>

/** Ceilings of one read. Passing one is an AppError that names it: QueryTimeoutError or QueryTooLargeError. */
export interface ReadLimits {
  readonly executionS: number
  readonly rowsToRead: number
  readonly memoryBytes: number
  readonly resultRows: number
  readonly resultBytes: number
}

export interface ReadRequest {
  readonly sql: string
  readonly params: QueryParams
  readonly limits: ReadLimits
  /** Unique; the query runs under this id and is killed when `signal` aborts. */
  readonly queryId: string
  readonly signal: AbortSignal
  /** `load`: a worker's own look-up, which does not wait behind questions. Default `ask`. */
  readonly lane?: 'ask' | 'load'
}

export interface ReadResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  /** One array a row, in the order of `columns`. 64-bit integers come as numbers where a double holds them, else as strings. */
  readonly rows: readonly (readonly unknown[])[]
  readonly rowsRead: number
  readonly bytesRead: number
  readonly elapsedS: number
}

export interface InsertRequest {
  readonly table: string
  readonly columns: readonly string[]
  /** Rows in ClickHouse's RowBinary format, in the order of `columns`. */
  readonly rowBinary: Buffer
  readonly rowCount: number
  /** Inserting the same token into the same table twice stores the rows once. */
  readonly token: string
  /** Monotonic deadline (`performance.now()` milliseconds) after which this effect must no longer begin or go on. */
  readonly deadlineMs: number
  readonly signal: AbortSignal
}

export interface Warehouse {
  readonly kind: 'chdb' | 'http'
  /**
   * Another number after every insert and command that has changed something. Undefined where other processes change
   * things too, so that nothing can be known of that.
   */
  readonly changes: number | undefined
  /** DDL and maintenance. Waits until done. */
  command(sql: string, params?: QueryParams): Promise<void>
  /**
   * Resolves once the rows are durable in the table, exactly once for a token. Rejects with WAREHOUSE_UNAVAILABLE when
   * the answer is unknown or a retry may help, WAREHOUSE_REJECTED when these rows will never be taken, and the signal's
   * reason when that aborted (the rows may be in the table then).
   */
  insert(request: InsertRequest): Promise<void>
  /**
   * A read under limits, answered whole. Rejects with AppErrors whose messages never contain SQL, or with the signal's
   * reason when that aborted: WAREHOUSE_UNAVAILABLE, QueryTimeoutError, QueryTooLargeError, or WAREHOUSE_REJECTED for a
   * statement that the server does not take.
   */
  read(request: ReadRequest): Promise<ReadResult>
  /** The same, streamed as bytes in a ClickHouse output format; memory stays flat whatever the size. */
  stream(request: ReadRequest & { readonly format: string }): Promise<Readable>
  /** Rejects with WAREHOUSE_UNAVAILABLE when reads and inserts would not work now. */
  ping(): Promise<void>
  close(): Promise<void>
}

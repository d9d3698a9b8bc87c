import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { createClient } from '@clickhouse/client'
import { drainStream, EXCEPTION_TAG_HEADER_NAME, extractErrorAtTheEndOfChunk } from '@clickhouse/client'
import { AppError } from '../errors.ts'
import { LANE_HEADER } from './chdb-connection.ts'
import { parseRows } from './json-rows.ts'
import type { InsertRequest, QueryParams, ReadRequest, ReadResult, Warehouse } from './port.ts'
import { insertSettings, readSettings } from './settings.ts'
import { quoteName } from './sql-text.ts'
import { readError, writeError } from './translate-error.ts'

export interface ClientWarehouseOptions {
  readonly kind: Warehouse['kind']
  readonly client: ReturnType<typeof createClient>
  readonly quorum: string | undefined
  /** Stops a query that nobody waits for any more. */
  readonly kill: (queryId: string) => Promise<void>
  readonly onClose: () => Promise<void>
}

/** The server stops a read at its limit itself; this is for an answer that never comes. */
const ANSWER_SLACK_MS = 5_000

/** The engine hands over a block at a time, so a block is what a stream holds in memory. */
const STREAMED_BLOCK_ROWS = '8192'

/** The port over `@clickhouse/client`, whose connection is HTTP's or the one to the engine in this process. */
export class ClientWarehouse implements Warehouse {
  readonly kind: Warehouse['kind']
  readonly #options: ClientWarehouseOptions
  readonly #client: ClientWarehouseOptions['client']
  #changes = 0

  constructor(options: ClientWarehouseOptions) {
    this.kind = options.kind
    this.#options = options
    this.#client = options.client
  }

  get changes(): number | undefined {
    return this.kind === 'chdb' ? this.#changes : undefined
  }

  async command(sql: string, params: QueryParams = {}): Promise<void> {
    try {
      await this.#client.command({
        query: sql,
        query_params: { ...params },
        clickhouse_settings: { wait_end_of_query: 1 },
      })
    } catch (error) {
      throw writeError(error)
    } finally {
      this.#changes += 1
    }
  }

  async insert(request: InsertRequest): Promise<void> {
    const leftMs = request.deadlineMs - performance.now()
    // Past its deadline somebody else may own these rows; beginning now could outlive the memory of their token.
    if (leftMs <= 0) throw new AppError('WAREHOUSE_UNAVAILABLE', 'The time for this insert is over.')
    const deadline = AbortSignal.timeout(Math.ceil(leftMs))
    const signal = AbortSignal.any([request.signal, deadline])
    const queryId = randomUUID()
    try {
      const answer = await this.#client.exec({
        query: `INSERT INTO ${quoteName(request.table)} (${request.columns.map(quoteName).join(', ')}) FORMAT RowBinary`,
        values: Readable.from([request.rowBinary], { objectMode: false }),
        query_id: queryId,
        abort_signal: signal,
        clickhouse_settings: insertSettings({
          token: request.token,
          executionS: Math.max(1, Math.ceil(leftMs / 1000)),
          quorum: this.#options.quorum,
        }),
      })
      await drainStream(answer.stream)
    } catch (error) {
      if (deadline.aborted && !request.signal.aborted) this.#kill(queryId)
      request.signal.throwIfAborted()
      throw writeError(error)
    } finally {
      this.#changes += 1
    }
  }

  async read(request: ReadRequest): Promise<ReadResult> {
    const { signal, done } = this.#bounded(request)
    try {
      const answer = await this.#client.query({
        query: request.sql,
        format: 'JSONCompact',
        ...this.#arguments(request, signal),
        clickhouse_settings: { ...readSettings(request.limits), wait_end_of_query: 1 },
      })
      return parseRows(await answer.text())
    } catch (error) {
      request.signal.throwIfAborted()
      throw readError(error, request.limits)
    } finally {
      done()
    }
  }

  async stream(request: ReadRequest & { readonly format: string }): Promise<Readable> {
    if (!/^\w+$/.test(request.format)) throw new Error('not the name of a format')
    const { signal, done } = this.#bounded(request)
    try {
      const answer = await this.#client.exec({
        query: `${request.sql}\nFORMAT ${request.format}`,
        ...this.#arguments(request, signal),
        clickhouse_settings: {
          ...readSettings(request.limits),
          http_write_exception_in_output_format: 0,
          max_block_size: STREAMED_BLOCK_ROWS,
        },
      })
      const tag = answer.response_headers[EXCEPTION_TAG_HEADER_NAME]
      const rows = answered(answer.stream, typeof tag === 'string' ? tag : undefined, request, done)
      const first = await rows.next() // an error before the first byte is an answer, not a broken stream
      if (first.done === true) return Readable.from([])
      const stream = Readable.from(prefixed(first.value, rows), { objectMode: false })
      // A stream that nobody began to read has nothing that would end the answer behind it.
      stream.once('close', () => void rows.return(undefined).catch(() => undefined))
      return stream
    } catch (error) {
      done()
      request.signal.throwIfAborted()
      throw readError(error, request.limits)
    }
  }

  async ping(): Promise<void> {
    const result = await this.#client.ping({ select: true, abort_signal: AbortSignal.timeout(ANSWER_SLACK_MS) })
    if (!result.success) throw writeError(result.error)
  }

  async close(): Promise<void> {
    await this.#client.close()
    await this.#options.onClose()
  }

  #arguments(request: ReadRequest, signal: AbortSignal) {
    return {
      query_id: request.queryId,
      query_params: { ...request.params },
      abort_signal: signal,
      ...(request.lane === 'load' ? { http_headers: { [LANE_HEADER]: 'load' } } : {}),
    }
  }

  /** A signal that also aborts when the answer is overdue; either way the query is killed, until `done`. */
  #bounded(request: ReadRequest): { signal: AbortSignal; done: () => void } {
    const overdue = new AbortController()
    const timer = setTimeout(() => overdue.abort(), request.limits.executionS * 1000 + ANSWER_SLACK_MS)
    const signal = AbortSignal.any([request.signal, overdue.signal])
    const onAbort = (): void => this.#kill(request.queryId)
    signal.addEventListener('abort', onAbort, { once: true })
    return {
      signal,
      done: () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      },
    }
  }

  #kill(queryId: string): void {
    // A kill that does not arrive leaves the query to its max_execution_time.
    this.#options.kill(queryId).catch(() => undefined)
  }
}

async function* answered(
  stream: Readable,
  tag: string | undefined,
  request: ReadRequest,
  done: () => void,
): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      // A server that fails after the first byte says so at the end of the body, marked with the tag of the headers.
      if (tag !== undefined && chunk.includes(`__exception__\r\n${tag}`)) throw extractErrorAtTheEndOfChunk(chunk, tag)
      yield chunk
    }
  } catch (error) {
    request.signal.throwIfAborted()
    throw readError(error, request.limits)
  } finally {
    done()
  }
}

async function* prefixed(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield first
  yield* rest
}

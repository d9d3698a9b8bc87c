import { mkdirSync, rmSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drainPending, type Session } from 'chdb'
import { SessionPool } from './session-pool.ts'
import { BoundParams } from './bound-params.ts'
import { quoteString, settingsText } from './sql-text.ts'

export interface EngineStatement {
  readonly sql: string
  /** Parameters in ClickHouse's text encoding (`param-text.ts`). */
  readonly params: ReadonlyMap<string, string>
  readonly settings: Readonly<Record<string, string | number>>
  /** Output format of a query; left out for a statement that returns nothing. */
  readonly format?: string
  readonly queryId: string
  /** Aborting kills the statement in the engine; the promise settles once the engine has let go of it. */
  readonly signal?: AbortSignal
  /** `load` never waits behind questions. */
  readonly lane: 'ask' | 'load'
}

export interface EngineInsert extends EngineStatement {
  /** `INSERT INTO t (columns)`, without format and settings. */
  readonly sql: string
  readonly format: string
  readonly body: Buffer
}

export interface EngineResult {
  readonly bytes: Buffer
  readonly rowsRead: number
  readonly bytesRead: number
}

export interface ChdbEngineOptions {
  /** Where chDB keeps its tables. One folder a process. */
  readonly folder: string
  /** Questions that run at the same time. Each holds one thread of libuv's pool (`UV_THREADPOOL_SIZE`), so does a load. */
  readonly readSessions: number
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * ClickHouse in the process, statement by statement. What `chdb/connection` does not give is here: settings that hold
 * for one statement (it leaves them set in the session: a deduplication token would outlive its insert), parameters
 * that do not block each other, binary inserts, streams, and a query that stops when it is asked to.
 */
export class ChdbEngine {
  readonly #asking: SessionPool
  readonly #loading: SessionPool
  readonly #control: SessionPool
  readonly #spool: string
  #spooled = 0
  readonly #bound = new BoundParams()

  constructor(options: ChdbEngineOptions) {
    this.#spool = join(options.folder, 'spool')
    rmSync(this.#spool, { recursive: true, force: true })
    mkdirSync(this.#spool, { recursive: true })
    const folder = join(options.folder, 'chdb')
    this.#asking = new SessionPool(folder, options.readSessions)
    this.#loading = new SessionPool(folder, 2)
    this.#control = new SessionPool(folder, 1)
  }

  async run(statement: EngineStatement): Promise<EngineResult> {
    return this.#withSession(statement, async (session) => {
      const { text: bind, done } = this.#bound.statements(session, statement.sql, statement.params)
      const result = await session.queryAsync(bind + this.#text(statement), { format: statement.format ?? 'Null' })
      done()
      return { bytes: asBuffer(result.bytes()), rowsRead: result.rowsRead, bytesRead: result.bytesRead }
    })
  }

  /**
   * An insert of raw bytes. Inline data of a statement ends at the first empty line, which binary data may contain, so
   * the bytes go through a file, which the page cache holds; it is gone when the promise settles.
   */
  async insert(insert: EngineInsert): Promise<EngineResult> {
    this.#spooled += 1
    const path = join(this.#spool, `${this.#spooled}.bin`)
    await writeFile(path, insert.body)
    try {
      const settings = settingsText({ ...insert.settings, log_comment: insert.queryId })
      const sql = `${insert.sql} FROM INFILE ${quoteString(path)} SETTINGS ${settings} FORMAT ${insert.format}`
      return await this.#withSession(insert, async (session) => {
        const result = await session.queryAsync(sql, { format: 'Null' })
        return { bytes: Buffer.alloc(0), rowsRead: result.rowsRead, bytesRead: result.bytesRead }
      })
    } finally {
      await rm(path, { force: true })
    }
  }

  /** Yields a query's output as the engine makes it. An early `return` stops the query. */
  async *stream(statement: EngineStatement & { readonly format: string }): AsyncGenerator<Buffer> {
    const session = await this.#asking.take(statement.signal)
    const stop = this.#killOnAbort(statement)
    let finished = false
    try {
      const { text: bind, done } = this.#bound.statements(session, statement.sql, statement.params)
      if (bind !== '') await session.queryAsync(bind, { format: 'Null' })
      done()
      const stream = session.queryStream(this.#text(statement), { format: statement.format })
      for await (const chunk of stream) yield asBuffer(chunk.raw())
      finished = true
    } catch (error) {
      statement.signal?.throwIfAborted()
      throw error
    } finally {
      stop()
      if (finished) this.#asking.give(session)
      else this.#asking.discard(session)
    }
  }

  /** Stops a running statement. Does nothing when there is none under this id. */
  async kill(queryId: string): Promise<void> {
    const session = await this.#control.take()
    try {
      // Column `Settings` of a running query shows what it was given; the embedded engine gives out its own query ids.
      await session.queryAsync(
        `KILL QUERY WHERE Settings['log_comment'] = ${quoteString(queryId)} AND query NOT LIKE 'KILL QUERY%' ASYNC`,
      )
      this.#control.give(session)
    } catch (error) {
      this.#control.discard(session)
      throw error
    }
  }

  /** Resolves when the engine answers. */
  async ping(): Promise<void> {
    const session = await this.#control.take()
    try {
      await session.queryAsync('SELECT 1')
      this.#control.give(session)
    } catch (error) {
      this.#control.discard(session)
      throw error
    }
  }

  async close(): Promise<void> {
    this.#asking.close()
    this.#loading.close()
    this.#control.close()
    await drainPending()
  }

  #text(statement: EngineStatement): string {
    if (statement.format === undefined) return statement.sql
    // After FORMAT the settings hold for the whole query, of a UNION too.
    const settings = settingsText({ ...statement.settings, log_comment: statement.queryId })
    return `${statement.sql}\nFORMAT ${statement.format}\nSETTINGS ${settings}`
  }

  async #withSession<T>(statement: EngineStatement, work: (session: Session) => Promise<T>): Promise<T> {
    const pool = statement.lane === 'ask' ? this.#asking : this.#loading
    const session = await pool.take(statement.signal)
    const stop = this.#killOnAbort(statement)
    try {
      const result = await work(session)
      pool.give(session)
      return result
    } catch (error) {
      pool.discard(session)
      statement.signal?.throwIfAborted()
      throw error
    } finally {
      stop()
    }
  }

  #killOnAbort({ signal, queryId }: EngineStatement): () => void {
    const onAbort = (): void => {
      // A kill that fails leaves the query to its max_execution_time; there is nobody to tell.
      this.kill(queryId).catch(() => undefined)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    return () => signal?.removeEventListener('abort', onAbort)
  }
}

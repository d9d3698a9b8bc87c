/**
 * A stand-in for a ClickHouse server where there is none: the part of its HTTP interface that `@clickhouse/client` uses,
 * over the engine in the process (chDB). It runs as a process of its own, so that several product processes can share a
 * warehouse, and can be killed and started again on the same port and folder.
 *
 *     node test/support/clickhouse-front.ts --port 8123 --folder /tmp/clickhouse [--password secret]
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { createGzip, gunzipSync } from 'node:zlib'
import { ChdbEngine, type EngineStatement } from '../../services/shared/warehouse/chdb-engine.ts'

interface FrontOptions {
  readonly folder: string
  readonly port: number
  /** Checked when it is set; otherwise everybody may in. */
  readonly password?: string | undefined
}

interface Call {
  readonly sql: string
  readonly data: Buffer
  readonly params: Map<string, string>
  readonly settings: Record<string, string>
  readonly queryId: string
  readonly defaultFormat: string
  readonly gzip: boolean
}

/** The server's own limit (`http_max_uri_size`): parameters of a streamed read stand in the address. */
const URI_BYTES_MAX = 1_048_576

/** Parameters of the HTTP interface, which are no settings of the query. */
const NOT_SETTINGS = new Set([
  'query', 'query_id', 'database', 'default_format', 'user', 'password', 'session_id', 'role', 'compress',
  'wait_end_of_query', 'buffer_size', 'enable_http_compression', 'send_progress_in_http_headers',
  'http_headers_progress_interval_ms', 'http_write_exception_in_output_format', 'log_comment',
  'cancel_http_readonly_queries_on_client_close', 'insert_quorum',
]) // biome-ignore format: a list

/** As the server does: the caller's mistakes are 400 and 404, a wrong password 403, the rest 500. */
function statusOf(code: number): number {
  if (
    [47, 48, 62, 43, 42, 36, 6, 26, 27, 33, 38, 41, 53, 70, 72, 117, 131, 386, 456, 457, 158, 396, 164].includes(code)
  )
    return 400
  if ([60, 81, 16, 46].includes(code)) return 404
  if (code === 516) return 403
  return code === 159 ? 408 : 500
}

async function readCall(request: IncomingMessage): Promise<Call> {
  const url = new URL(request.url ?? '/', 'http://front')
  let body = await buffer(request)
  if (request.headers['content-encoding'] === 'gzip') body = gunzipSync(body)
  const values = new Map(url.searchParams)
  const type = request.headers['content-type'] ?? ''
  if (type.startsWith('multipart/form-data')) {
    const form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } }).formData()
    for (const [name, value] of form) if (typeof value === 'string') values.set(name, value)
    body = Buffer.alloc(0)
  }
  const params = new Map<string, string>()
  const settings: Record<string, string> = {}
  for (const [name, value] of values) {
    if (name.startsWith('param_')) params.set(name.slice(6), value)
    else if (!NOT_SETTINGS.has(name)) settings[name] = value
  }
  const query = values.get('query')
  return {
    sql: (query ?? body.toString()).trim(),
    data: query === undefined ? Buffer.alloc(0) : body,
    params,
    settings,
    queryId: values.get('query_id') ?? randomUUID(),
    defaultFormat: values.get('default_format') ?? 'TabSeparated',
    gzip: values.get('enable_http_compression') === '1' && /gzip/.test(String(request.headers['accept-encoding'])),
  }
}

class Front {
  readonly #engine: ChdbEngine
  readonly #options: FrontOptions

  constructor(options: FrontOptions) {
    this.#options = options
    this.#engine = new ChdbEngine({ folder: options.folder, readSessions: 6 })
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('X-ClickHouse-Timezone', 'UTC')
    response.setHeader('X-ClickHouse-Server-Display-Name', 'front')
    if (request.url === '/ping') {
      await this.#engine.ping()
      response.end('Ok.\n')
      return
    }
    if (!this.#allowed(request)) {
      fail(response, 'Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)')
      return
    }
    const call = await readCall(request)
    const gone = new AbortController()
    response.on('close', () => {
      if (!response.writableFinished) gone.abort(new Error('the client has gone'))
    })
    response.setHeader('X-ClickHouse-Query-Id', call.queryId)
    try {
      await this.#run(call, gone.signal, response)
    } catch (error) {
      fail(response, error instanceof Error ? error.message : String(error))
    }
  }

  async close(): Promise<void> {
    await this.#engine.close()
  }

  #allowed(request: IncomingMessage): boolean {
    const { password } = this.#options
    if (password === undefined) return true
    const basic = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString()
    return request.headers['x-clickhouse-key'] === password || basic.endsWith(`:${password}`)
  }

  async #run(call: Call, signal: AbortSignal, response: ServerResponse): Promise<void> {
    const base = { params: call.params, settings: call.settings, queryId: call.queryId }
    if (/^KILL\s+QUERY\b/i.test(call.sql)) {
      await this.#engine.kill(call.params.get('id') ?? /query_id\s*=\s*'([^']+)'/.exec(call.sql)?.[1] ?? '')
      response.end()
      return
    }
    if (/^INSERT\b/i.test(call.sql) && call.data.length > 0) {
      const match = /^([\s\S]*?)\s+FORMAT\s+(\w+)\s*$/.exec(call.sql)
      const statement = {
        ...base,
        sql: match?.[1] ?? call.sql,
        format: match?.[2] ?? 'TabSeparated',
        lane: 'load',
      } as const
      await this.#engine.insert({ ...statement, body: call.data })
      summarise(response, 0, 0)
      response.end()
      return
    }
    if (!/^\(*\s*(SELECT|WITH|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN)\b/i.test(call.sql)) {
      await this.#engine.run({ ...base, sql: call.sql, settings: {}, lane: 'load' })
      summarise(response, 0, 0)
      response.end()
      return
    }
    const match = /^([\s\S]*?)\s+FORMAT\s+(\w+)\s*$/.exec(call.sql)
    const format = match?.[2] ?? call.defaultFormat
    await this.#answer({ ...base, sql: match?.[1] ?? call.sql, format, signal, lane: 'ask' }, call.gzip, response)
  }

  async #answer(
    statement: EngineStatement & { readonly format: string },
    gzip: boolean,
    response: ServerResponse,
  ): Promise<void> {
    response.setHeader('X-ClickHouse-Format', statement.format)
    if (/^JSON(Compact|Strings)?$/.test(statement.format)) {
      const result = await this.#engine.run(statement)
      summarise(response, result.rowsRead, result.bytesRead)
      if (gzip) response.setHeader('Content-Encoding', 'gzip')
      send(response, gzip).end(result.bytes)
      return
    }
    const rows = this.#engine.stream(statement)
    const first = await rows.next()
    const tag = randomUUID().replaceAll('-', '').slice(0, 16)
    response.setHeader('X-ClickHouse-Exception-Tag', tag)
    if (gzip) response.setHeader('Content-Encoding', 'gzip')
    const out = send(response, gzip)
    try {
      if (first.done !== true) out.write(first.value)
      for await (const chunk of rows) {
        if (!out.write(chunk)) await drained(out, response)
      }
      out.end()
    } catch (error) {
      // After the headers the server says what happened at the end of the body, and breaks off.
      const text = error instanceof Error ? error.message : String(error)
      const tail = `\r\n__exception__\r\n${tag}\r\n${text}\n${Buffer.byteLength(text) + 1} ${tag}\r\n__exception__\r\n`
      out.write(tail, () => response.destroy())
    }
  }
}

const send = (response: ServerResponse, gzip: boolean) => {
  if (!gzip) return response
  const stream = createGzip()
  stream.pipe(response)
  return stream
}

async function drained(out: NodeJS.WritableStream, response: ServerResponse): Promise<void> {
  if (response.destroyed) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const onSettled = (): void => resolve()
  out.once('drain', onSettled)
  response.once('close', onSettled)
  await promise
  out.removeListener('drain', onSettled)
  response.removeListener('close', onSettled)
}

function summarise(response: ServerResponse, rows: number, bytes: number): void {
  const summary = { read_rows: String(rows), read_bytes: String(bytes), written_rows: '0', written_bytes: '0' }
  response.setHeader(
    'X-ClickHouse-Summary',
    JSON.stringify({ ...summary, result_rows: '0', result_bytes: '0', elapsed_ns: '0' }),
  )
}

function fail(response: ServerResponse, text: string): void {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const code = Number(/Code: (\d+)/.exec(text)?.[1] ?? 1002)
  response.writeHead(statusOf(code), { 'X-ClickHouse-Exception-Code': String(code) })
  response.end(text.startsWith('Code:') ? `${text}\n` : `Code: ${code}. DB::Exception: ${text} (UNKNOWN_EXCEPTION)\n`)
}

/** Serves until `close`; resolves once it listens. Port 0 takes a free one. */
export async function serveFront(options: FrontOptions): Promise<{ port: number; close(): Promise<void> }> {
  const front = new Front(options)
  const server: Server = createServer({ maxHeaderSize: URI_BYTES_MAX }, (request, response) => {
    front.handle(request, response).catch((error: unknown) => fail(response, String(error)))
  })
  server.keepAliveTimeout = 10_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await front.close()
    },
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { port: { type: 'string', default: '8123' }, folder: { type: 'string' }, password: { type: 'string' } },
  })
  if (values.folder === undefined) throw new Error('--folder is missing')
  const front = await serveFront({ folder: values.folder, port: Number(values.port), password: values.password })
  process.stdout.write(`listening ${front.port}\n`)
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      const exit = () => process.exit(0)
      front.close().then(exit, exit)
    })
  }
}

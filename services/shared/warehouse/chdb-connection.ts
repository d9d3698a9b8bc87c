import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { type ClickHouseClientConfigOptions, type ClickHouseSettings, parseError } from '@clickhouse/client'
import type { ChdbEngine, EngineResult } from './chdb-engine.ts'
import { paramText } from './param-text.ts'

export type Connection = NonNullable<ClickHouseClientConfigOptions['connection']>
type QueryArguments = Parameters<Connection['query']>[0]

/** A read with the value `load` in this header is the loader's own; it does not wait behind questions. */
export const LANE_HEADER = 'x-tributary-lane'

/** Settings of the HTTP layer alone; the engine in the process does not know them. */
const HTTP_ONLY = new Set([
  'wait_end_of_query',
  'send_progress_in_http_headers',
  'http_write_exception_in_output_format',
  'cancel_http_readonly_queries_on_client_close',
  'enable_http_compression',
  'default_format',
])

function engineSettings(settings: ClickHouseSettings | undefined): Record<string, string | number> {
  const out: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(settings ?? {})) {
    if (HTTP_ONLY.has(name) || value === undefined) continue
    out[name] = typeof value === 'number' ? value : String(value)
  }
  return out
}

export const paramTexts = (params: Readonly<Record<string, unknown>> | undefined): Map<string, string> =>
  new Map(Object.entries(params ?? {}).map(([name, value]) => [name, paramText(value)]))

/** The client appends ` \nFORMAT X` to a query; the engine wants the settings behind it. */
function splitFormat(query: string): { sql: string; format: string } {
  const match = /^([\s\S]*?)\s+FORMAT\s+(\w+)\s*$/.exec(query)
  return match === null ? { sql: query, format: 'Null' } : { sql: match[1] ?? '', format: match[2] ?? '' }
}

/** chDB's errors in the shape of the client's own, so that one table of codes serves both connections. */
const asClientError = (error: unknown): unknown =>
  error instanceof Error && error.message.includes('Code: ') ? parseError(error.message) : error

async function translated<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw asClientError(error)
  }
}

async function* translatedEach(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* chunks
  } catch (error) {
    throw asClientError(error)
  }
}

async function bodyOf(values: string | Readable | undefined): Promise<Buffer> {
  if (values === undefined) return Buffer.alloc(0)
  if (typeof values === 'string') return Buffer.from(values)
  const chunks: Buffer[] = []
  for await (const chunk of values) chunks.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk)))
  const [first] = chunks
  return first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks)
}

const summary = (result: EngineResult) => ({
  read_rows: String(result.rowsRead),
  read_bytes: String(result.bytesRead),
  written_rows: '0',
  written_bytes: '0',
  result_rows: '0',
  result_bytes: '0',
  total_rows_to_read: '0',
  elapsed_ns: '0',
})

/** What `createClient({ connection })` needs, over the engine in the process. Closing the engine is its owner's task. */
export function chdbConnection(engine: ChdbEngine): Connection {
  const base = (query_id: string) => ({ query_id, response_headers: {}, http_status_code: 200 })
  const common = (args: QueryArguments) => ({
    params: paramTexts(args.query_params),
    settings: engineSettings(args.clickhouse_settings),
    queryId: args.query_id ?? randomUUID(),
    ...(args.abort_signal === undefined ? {} : { signal: args.abort_signal }),
  })
  const command = async (args: QueryArguments) => {
    const statement = { ...common(args), sql: args.query, settings: {}, lane: 'load' as const }
    const result = await translated(engine.run(statement))
    return { ...base(statement.queryId), summary: summary(result) }
  }
  const insert = async (args: QueryArguments & { values?: string | Readable }) => {
    const { sql, format } = splitFormat(args.query)
    const body = await bodyOf(args.values)
    const statement = { ...common(args), sql, format, body, lane: 'load' as const }
    const result = await translated(engine.insert(statement))
    return { ...base(statement.queryId), summary: summary(result) }
  }
  return {
    async query(args) {
      const { sql, format } = splitFormat(args.query)
      const lane = args.http_headers?.[LANE_HEADER] === 'load' ? 'load' : 'ask'
      const statement = { ...common(args), sql, format, lane } as const
      const result = await translated(engine.run(statement))
      return { ...base(statement.queryId), stream: Readable.from([result.bytes], { objectMode: false }) }
    },
    insert,
    command,
    async exec(args) {
      if (args.values !== undefined) return { ...(await insert(args)), stream: Readable.from([]) }
      if (/\s+FORMAT\s+\w+\s*$/.test(args.query)) {
        const { sql, format } = splitFormat(args.query)
        const statement = { ...common(args), sql, format, lane: 'ask' } as const
        return {
          ...base(statement.queryId),
          stream: Readable.from(translatedEach(engine.stream(statement)), { objectMode: false }),
        }
      }
      return { ...(await command(args)), stream: Readable.from([]) }
    },
    async ping() {
      try {
        await engine.ping()
        return { success: true }
      } catch (error) {
        return { success: false, error: error instanceof Error ? error : new Error('ping failed') }
      }
    },
    close: async () => undefined,
  }
}

import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { ClientWarehouse } from './client-warehouse.ts'
import type { Warehouse } from './port.ts'

export interface HttpWarehouseOptions {
  readonly url: URL
  readonly username: string
  readonly password: string
  readonly database: string
  /** Requests at the same time. */
  readonly connectionsMax: number
  /** Must be shorter than the server's `keep_alive_timeout` (10 s by default), else a request may meet a closing socket. */
  readonly idleSocketMs: number
  /** Longest wait for any answer. Inserts and reads have shorter ones of their own. */
  readonly requestTimeoutMs: number
  /** `insert_quorum` for replicated tables; left out otherwise. */
  readonly quorum?: string
}

/** The warehouse behind ClickHouse's HTTP interface. Connects when it is first used. */
export function openHttpWarehouse(options: HttpWarehouseOptions): Warehouse {
  const client = createClient({
    url: options.url,
    username: options.username,
    password: options.password,
    database: options.database,
    application: 'tributary',
    max_open_connections: options.connectionsMax,
    request_timeout: options.requestTimeoutMs,
    keep_alive: { enabled: true, idle_socket_ttl: options.idleSocketMs },
    compression: { request: false, response: false },
    // The client's own log lines hold SQL and parameters.
    log: { level: ClickHouseLogLevel.OFF },
    // Long lists of values do not fit into a URL.
    use_multipart_params_auto: true,
    clickhouse_settings: { cancel_http_readonly_queries_on_client_close: 1 },
  })
  return new ClientWarehouse({
    kind: 'http',
    client,
    quorum: options.quorum,
    kill: async (queryId) => {
      await client.command({
        query: 'KILL QUERY WHERE query_id = {id:String} ASYNC',
        query_params: { id: queryId },
        abort_signal: AbortSignal.timeout(5_000),
      })
    },
    onClose: async () => undefined,
  })
}

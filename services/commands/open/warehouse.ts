import { setTimeout as sleep } from 'node:timers/promises'
import type { ChdbSettings, Config, HttpWarehouseSettings } from '../../shared/config.ts'
import { AppError, isRetryable } from '../../shared/errors.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'

/** Questions that the embedded engine works on at once; each holds a thread (see `threads.ts`). */
const READ_SESSIONS = 4
const CONNECTIONS_MAX = 32
/** Under ClickHouse's `keep_alive_timeout` of 10 s, else a request may meet a closing socket. */
const IDLE_SOCKET_MS = 2_500
const RETRY_MS = 1_000

/** The warehouse of the settings, answering. A ClickHouse that is starting too is waited for until `signal` aborts. */
export function openWarehouse(config: Config, signal: AbortSignal): Promise<Warehouse> {
  return config.warehouse.kind === 'chdb' ? openEmbedded(config.warehouse) : openClickHouse(config.warehouse, signal)
}

async function openEmbedded(settings: ChdbSettings): Promise<Warehouse> {
  const { openChdbWarehouse } = await embeddedEngine()
  return openChdbWarehouse({ folder: settings.folder, readSessions: READ_SESSIONS })
}

/** Loads the engine's native part, which not every platform has. */
async function embeddedEngine() {
  try {
    return await import('../../shared/warehouse/chdb.ts')
  } catch (error) {
    throw new AppError(
      'CONFIG_INVALID',
      `The embedded ClickHouse engine (chDB) does not run here: it is built for Linux with glibc and for macOS, on x64 ` +
        `and arm64, and this is ${process.platform} ${process.arch}. On Windows use WSL; on Alpine an image with glibc ` +
        '(node:24-slim); or set CLICKHOUSE_URL to a ClickHouse server. If this is one of its platforms, run ' +
        '`npm install` again: its optional packages are missing.',
      { cause: error },
    )
  }
}

async function openClickHouse(settings: HttpWarehouseSettings, signal: AbortSignal): Promise<Warehouse> {
  const { openHttpWarehouse } = await import('../../shared/warehouse/http.ts')
  const connect = (database: string): Warehouse =>
    openHttpWarehouse({
      url: new URL(settings.url),
      username: settings.username,
      password: settings.password,
      database,
      connectionsMax: CONNECTIONS_MAX,
      idleSocketMs: IDLE_SOCKET_MS,
      requestTimeoutMs: settings.timeoutMs,
    })
  const warehouse = connect(settings.database)
  try {
    await patiently(() => answering(warehouse, connect, settings.database), signal)
    return warehouse
  } catch (error) {
    await warehouse.close()
    throw new AppError(
      'WAREHOUSE_UNAVAILABLE',
      `ClickHouse at ${settings.url} does not do what is asked: check CLICKHOUSE_URL, its user and password, and that the ` +
        `database ${settings.database} may be used.`,
      { cause: error },
    )
  }
}

/** A new server has only the database `default`; a user that may not make databases needs none made. */
async function answering(
  warehouse: Warehouse,
  connect: (database: string) => Warehouse,
  database: string,
): Promise<void> {
  try {
    await warehouse.ping()
  } catch {
    const outside = connect('default')
    try {
      await outside.command(`CREATE DATABASE IF NOT EXISTS \`${database}\``)
    } finally {
      await outside.close()
    }
    await warehouse.ping()
  }
}

async function patiently(attempt: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!isRetryable(error) || signal.aborted) throw error
      await sleep(RETRY_MS, undefined, { signal }).catch(() => {
        throw error
      })
    }
  }
}

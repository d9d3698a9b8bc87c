import { createClient } from '@clickhouse/client'
import { chdbConnection } from './chdb-connection.ts'
import { ChdbEngine, type ChdbEngineOptions } from './chdb-engine.ts'
import { ClientWarehouse } from './client-warehouse.ts'
import type { Warehouse } from './port.ts'

/**
 * The warehouse in this process. One data folder a process and one process a data folder; a second one fails.
 * Rejects with WAREHOUSE_UNAVAILABLE when the folder cannot be opened.
 */
export async function openChdbWarehouse(options: ChdbEngineOptions): Promise<Warehouse> {
  const engine = new ChdbEngine(options)
  const client = createClient({ connection: chdbConnection(engine) })
  const warehouse = new ClientWarehouse({
    kind: 'chdb',
    client,
    quorum: undefined,
    kill: async () => undefined, // the engine kills by the signal itself
    onClose: () => engine.close(),
  })
  try {
    await warehouse.ping()
    return warehouse
  } catch (error) {
    await engine.close()
    throw error
  }
}

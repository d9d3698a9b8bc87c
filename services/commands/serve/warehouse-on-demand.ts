import type { Config } from '../../shared/config.ts'
import type { Life } from '../../shared/lifecycle.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { openWarehouse } from '../open/warehouse.ts'

const PATIENCE_MS = 5_000

/**
 * The warehouse for those that can do without: the process's own, or one that is opened when somebody asks, and asked for again
 * when that failed. Undefined where there is none to open: the embedded one is another process's.
 */
export function warehouseOnDemand(
  life: Life,
  config: Config,
  own: Warehouse | undefined,
): (() => Promise<Warehouse>) | undefined {
  if (own !== undefined) return async () => own
  if (config.warehouse.kind === 'chdb') return undefined
  let opening: Promise<Warehouse> | undefined
  const open = async (): Promise<Warehouse> => {
    const warehouse = await openWarehouse(config, AbortSignal.any([life.signal, AbortSignal.timeout(PATIENCE_MS)]))
    life.opened.defer(async () => warehouse.close())
    return warehouse
  }
  return async () => {
    opening ??= open()
    opening.catch(() => {
      opening = undefined
    })
    return opening
  }
}

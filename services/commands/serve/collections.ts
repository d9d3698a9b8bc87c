import { type Catalogue, createCatalogue } from '../../query/catalogue.ts'
import type { Config } from '../../shared/config.ts'
import type { Life } from '../../shared/lifecycle.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'
import { openWarehouse } from '../open/warehouse.ts'

const NAMES_MAX = 5_000
const PATIENCE_MS = 5_000

/**
 * The names of a project's collections, for the admin service. Where the process has no warehouse of its own, one is opened
 * when somebody asks: managing projects and keys must not wait for it. Undefined where there is none to open.
 */
export function collectionsOf(
  life: Life,
  config: Config,
  own: Warehouse | undefined,
): ((grant: Grant) => Promise<readonly string[]>) | undefined {
  if (own === undefined && config.warehouse.kind === 'chdb') return undefined
  let opening: Promise<Catalogue> | undefined
  const open = async (): Promise<Catalogue> => {
    const warehouse =
      own ?? (await openWarehouse(config, AbortSignal.any([life.signal, AbortSignal.timeout(PATIENCE_MS)])))
    if (own === undefined) life.opened.defer(async () => warehouse.close())
    return createCatalogue(warehouse, config.query.catalogue)
  }
  return async (grant) => {
    opening ??= open()
    opening.catch(() => {
      opening = undefined
    })
    return (await opening).collections(grant, { limit: NAMES_MAX }, AbortSignal.timeout(PATIENCE_MS))
  }
}

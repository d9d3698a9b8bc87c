import { createCatalogue } from '../../query/catalogue.ts'
import type { Config } from '../../shared/config.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Warehouse } from '../../shared/warehouse/port.ts'

const NAMES_MAX = 5_000
const PATIENCE_MS = 5_000

/** The names of a project's collections, for the admin service. */
export const collectionsOf = (
  config: Config,
  warehouse: () => Promise<Warehouse>,
): ((grant: Grant) => Promise<readonly string[]>) => {
  let catalogue: ReturnType<typeof createCatalogue> | undefined
  return async (grant) => {
    catalogue ??= createCatalogue(await warehouse(), config.query.catalogue)
    return catalogue.collections(grant, { limit: NAMES_MAX }, AbortSignal.timeout(PATIENCE_MS))
  }
}

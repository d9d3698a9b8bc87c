import { randomUUID } from 'node:crypto'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import type { Columns } from '../domain/delivery.ts'
import { columnsOf, type SeenProperty } from '../formats/catalogue-kinds.ts'

/** What columns the files of a project's collections should have. */
export interface ColumnCatalogue {
  /** Null: of all collections. Rejects as the warehouse does. */
  columns(project: string, collections: readonly string[] | null, signal: AbortSignal): Promise<Columns>
}

/** Those seen last, of each collection; the others have columns in the files that hold them. */
const PROPERTIES_MAX = 1_000
const COLLECTIONS_MAX = 1_000

const LIMITS: ReadLimits = {
  executionS: 30,
  rowsToRead: 0,
  memoryBytes: 512 * 1024 ** 2,
  resultRows: 2 * PROPERTIES_MAX * COLLECTIONS_MAX,
  resultBytes: 256 * 1024 ** 2,
}

const SQL = `SELECT collection, path, groupUniqArray(20)(type) AS types
FROM event_properties
WHERE project = {project:String} AND path != ''
  AND (empty({collections:Array(String)}) OR collection IN ({collections:Array(String)}))
GROUP BY collection, path
ORDER BY collection, max(last_seen) DESC, path
LIMIT ${PROPERTIES_MAX} BY collection`

/** Reads the catalogue that the loader keeps of each property that was ever seen. */
export const columnCatalogue = (open: () => Promise<Warehouse>): ColumnCatalogue => ({
  async columns(project, collections, signal) {
    if (collections?.length === 0) return {}
    const warehouse = await open()
    const params = { project, collections: collections ?? [] }
    const request = { sql: SQL, params, limits: LIMITS, queryId: randomUUID(), signal, lane: 'load' } as const
    const { rows } = await warehouse.read(request)
    const seen = new Map<string, SeenProperty[]>()
    for (const [collection, path, types] of rows) {
      const properties = seen.get(String(collection)) ?? []
      seen.set(String(collection), properties)
      for (const type of types as readonly unknown[]) properties.push({ path: String(path), type: String(type) })
    }
    return Object.fromEntries([...seen].map(([collection, properties]) => [collection, columnsOf(properties)]))
  },
})

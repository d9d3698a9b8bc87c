import { randomUUID } from 'node:crypto'
import { AppError } from '../../shared/errors.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { ReadLimits, Warehouse } from '../../shared/warehouse/port.ts'
import { countProperties } from '../language/looked-at.ts'
import { compileExtraction, type Statement } from '../language/compile-extraction.ts'
import { checkExtracted } from '../language/extraction.ts'
import { resolveTimeframe } from '../language/timeframe.ts'
import type { ExtractionNode, Query } from '../language/tree.ts'
import { explainedError } from '../explained-error.ts'
import type { QueryRunner } from '../run-query.ts'
import { csvColumns } from './csv.ts'
import { readRows } from './row-reader.ts'
import { createWriter, type ExtractionFormat } from './writers.ts'

export interface ExtractionBounds {
  readonly limits: ReadLimits
  /** Events in the answer. */
  readonly eventsMax: number
  /** Bytes of the answer, before it is compressed. */
  readonly bytesMax: number
  /** What a caller who asks for more is told to do instead. */
  readonly advice: string
}

/** Events on their way out of the warehouse. */
export interface Extraction {
  /**
   * The answer's text in pieces; nothing is read ahead of whoever takes them. Throws when the warehouse fails half-way,
   * or the answer passes its bounds after all: what came before is then no answer. Leaving early stops the query.
   */
  readonly text: AsyncIterable<string>
  /** Stops the query of a text that nobody began to take. */
  readonly close: () => void
  /** So far. */
  readonly events: () => number
  readonly rowsRead: () => number
}

export interface ExtractDeps {
  readonly warehouse: Warehouse
  readonly now: () => number
  readonly requireCollection: QueryRunner['requireCollection']
}

/** Columns of a CSV answer; beyond it a table is no table any more. */
const COLUMNS_MAX = 10_000
/** That few events are not worth counting before they are read. */
const UNCOUNTED_MAX = 1_000

/**
 * Begins an extraction: everything that can be refused is refused here, before anything of the answer is there. Rejects
 * with ExtractionTooLargeError, ResourceNotFoundError and the errors of `Warehouse.read`.
 */
export async function beginExtraction(
  deps: ExtractDeps,
  query: Query & { readonly analysis: ExtractionNode },
  grant: Grant,
  format: ExtractionFormat,
  bounds: ExtractionBounds,
  signal: AbortSignal,
): Promise<Extraction> {
  const { warehouse } = deps
  const { latest, properties } = query.analysis
  const startedMs = performance.now()
  checkExtracted(latest ?? 0, bounds.eventsMax, bounds.advice)
  const timeframe = resolveTimeframe(query.timeframe, query.zone, deps.now())
  const statements = compileExtraction(query, query.analysis, grant, timeframe, {
    eventsMax: bounds.eventsMax + 1,
    pathsMax: COLUMNS_MAX + 1,
  })
  await deps.requireCollection(grant, query.collection, bounds.limits, signal)
  const request = (statement: Statement) => ({ ...statement, limits: bounds.limits, queryId: randomUUID(), signal })
  const explain = (error: unknown): never => {
    throw explainedError(error, query)
  }

  let scanned: number | undefined
  if (latest === null || latest > UNCOUNTED_MAX || query.includeMetadata) {
    const size = await warehouse.read(request(statements.size)).catch(explain)
    const [count, bytes] = (size.rows[0] ?? []).map(Number)
    checkExtracted(count ?? 0, bounds.eventsMax, bounds.advice)
    // Chosen properties are less than the bodies, nobody knows by how much.
    if (properties === null && format !== 'csv' && (bytes ?? 0) > bounds.bytesMax) throw tooManyBytes(bounds)
    scanned = size.rowsRead
  }
  let columns: readonly string[] = []
  if (format === 'csv') {
    const found = await warehouse.read(request(statements.paths)).catch(explain)
    columns = csvColumns(
      found.rows.map(([path]) => String(path)),
      properties,
    )
    if (columns.length > COLUMNS_MAX) {
      throw new AppError(
        'ExtractionTooLargeError',
        `The table has more than ${COLUMNS_MAX} columns. Ask for property_names.`,
      )
    }
  }
  const writer = createWriter(format, properties, columns)
  const limits = { ...bounds.limits, resultRows: bounds.eventsMax + 1, resultBytes: 0 }
  const source = await warehouse.stream({ ...request(statements.events), limits, format: 'RowBinary' }).catch(explain)

  let events = 0
  const metadata = () => {
    const read = scanned ?? events
    const perEvent = countProperties(query)
    return {
      events_scanned: read,
      properties_per_event: perEvent,
      total_properties_scanned: read * perEvent,
      total_processing_time: (performance.now() - startedMs) / 1_000,
    }
  }
  async function* text(): AsyncGenerator<string> {
    let bytes = 0
    yield writer.head()
    for await (const rows of readRows(source as AsyncIterable<Buffer>)) {
      events += rows.length
      checkExtracted(events, bounds.eventsMax, bounds.advice)
      const piece = writer.rows(rows)
      bytes += Buffer.byteLength(piece)
      if (bytes > bounds.bytesMax) throw tooManyBytes(bounds)
      yield piece
    }
    yield writer.tail(query.includeMetadata ? metadata() : undefined)
  }
  return {
    text: text(),
    close: () => source.destroy(),
    events: () => events,
    rowsRead: () => scanned ?? events,
  }
}

const tooManyBytes = (bounds: ExtractionBounds): AppError =>
  new AppError(
    'ExtractionTooLargeError',
    `The extraction has more than ${bounds.bytesMax} bytes. Ask for a narrower timeframe, more filters, or fewer properties${bounds.advice}.`,
  )

import { stringify } from 'csv-stringify/sync'
import { parseExactly } from './exact-json.ts'
import type { FileEvent, FileEvents, WholeFormat, Kept, KnownColumns } from './format.ts'
import { gzipped } from './gzip-member.ts'
import { KeptCounter } from './kept.ts'
import { learnColumns } from './learn-columns.ts'
import { KEEN_COLUMNS, type PropertyColumn, type PropertyColumns, REST_COLUMN } from './property-columns.ts'
import { Rest } from './rest.ts'
import { textOf, textReason } from './value-kind.ts'

/**
 * A header and a record an event, as RFC 4180 has them, gzipped. Columns: `keen`'s three, then those of the properties
 * (see PropertyColumns), then `_rest` where something needs it. A string stands as itself, any other value as its JSON
 * text with all digits. An empty string is `""`; what is null or missing is empty, without quotes: the two are the same.
 */
export const csvGzip: WholeFormat = {
  kind: 'whole',
  name: 'csv.gz',
  extension: 'csv.gz',
  contentType: 'application/gzip',
  hasColumns: true,
  encode: encodeCsv,
}

async function* encodeCsv(
  events: FileEvents,
  keep?: (kept: Kept) => void,
  known?: KnownColumns,
): AsyncGenerator<Buffer> {
  const table = new CsvTable(await learnColumns(events, known))
  yield* gzipped(records(events, table))
  keep?.(table.kept.counts())
}

async function* records(events: FileEvents, table: CsvTable): AsyncGenerator<Buffer> {
  yield table.header()
  for await (const batch of events()) yield table.records(batch)
}

class CsvTable {
  readonly kept = new KeptCounter()
  readonly #properties: PropertyColumns
  readonly #names: readonly string[]
  readonly #places: ReadonlyMap<PropertyColumn, number>
  readonly #rest = new Rest()

  constructor(properties: PropertyColumns) {
    const { columns } = properties
    this.#properties = properties
    this.#places = new Map(columns.map((column, i) => [column, KEEN_COLUMNS.length + i]))
    const names = [...KEEN_COLUMNS, ...columns.map(({ name }) => name)]
    this.#names = properties.hasRest ? [...names, REST_COLUMN] : names
  }

  header(): Buffer {
    return csvBytes([this.#names])
  }

  records(events: readonly FileEvent[]): Buffer {
    return csvBytes(events.map((event) => this.#record(event)))
  }

  #record(event: FileEvent): readonly (string | null)[] {
    const cells = Array<string | null>(this.#names.length).fill(null)
    cells[0] = new Date(event.timestampMs).toISOString()
    cells[1] = new Date(event.createdAtMs).toISOString()
    cells[2] = event.id
    this.#properties.visit(parseExactly(event.properties.toString()), {
      value: (column, value) => {
        const reason = textReason(value)
        if (reason !== undefined) this.kept.add(reason)
        else if (typeof value === 'string' && !value.isWellFormed()) this.kept.add('lone_surrogate')
        cells[this.#places.get(column) ?? -1] = textOf(value)
      },
      rest: (path, value, reason) => {
        this.kept.add(reason)
        this.#rest.add(path, value)
      },
    })
    if (this.#properties.hasRest) cells[cells.length - 1] = this.#rest.take()
    return cells
  }
}

const csvBytes = (records: readonly (readonly (string | null)[])[]): Buffer =>
  Buffer.from(
    stringify(records as (string | null)[][], {
      record_delimiter: '\r\n',
      quote_record_delimiter: true,
      quoted_match: /^$/,
    }),
  )

import type { Property } from '../../shared/filters/filter.ts'
import { shapeEvent } from '../language/event.ts'
import { csvRecord, csvText } from './csv.ts'
import type { ExtractedRow } from './row-reader.ts'

export type ExtractionFormat = 'json' | 'ndjson' | 'csv'

/** Turns rows into the text of an answer or a file: `head`, then `rows` for each batch, then `tail`. */
export interface EventWriter {
  readonly head: () => string
  readonly rows: (rows: readonly ExtractedRow[]) => string
  /** `metadata`: what stands beside the result, where the format has a place for it. */
  readonly tail: (metadata: object | undefined) => string
}

/** `columns`: of CSV, the dotted paths of the header. */
export function createWriter(
  format: ExtractionFormat,
  properties: readonly Property[] | null,
  columns: readonly string[],
): EventWriter {
  switch (format) {
    case 'json': {
      let isFirst = true
      return {
        head: () => '{"result":[',
        rows: (rows) => {
          const text = rows.map((row) => eventText(row, properties)).join(',')
          const joined = isFirst ? text : `,${text}`
          isFirst = false
          return joined
        },
        tail: (metadata) => (metadata === undefined ? ']}' : `],"execution_metadata":${JSON.stringify(metadata)}}`),
      }
    }
    case 'ndjson':
      return {
        head: () => '',
        rows: (rows) => rows.map((row) => `${eventText(row, properties)}\n`).join(''),
        tail: () => '',
      }
    case 'csv': {
      const paths = columns.map((column) => column.split('.'))
      return {
        head: () => csvText([columns], columns.length),
        rows: (rows) =>
          csvText(
            rows.map((row) => csvRecord(wholeEvent(row), paths)),
            columns.length,
          ),
        tail: () => '',
      }
    }
    default:
      return format satisfies never
  }
}

const wholeEvent = (row: ExtractedRow): object => shapeEvent([row.timestampMs, row.createdAtMs, row.id, row.body], null)

/**
 * A body that could have a `keen` of its own (spelled with an escape, too), or line ends between its tokens. Any other is
 * put into the answer as it was sent, which is several times as fast as taking it apart.
 */
const NEEDS_PARSING = /"keen"|\\u|[\n\r]/

/** An event as one line of JSON, as `shapeEvent` has it. */
export function eventText(row: ExtractedRow, properties: readonly Property[] | null): string {
  const { body } = row
  if (properties !== null || NEEDS_PARSING.test(body) || !body.startsWith('{"') || !body.endsWith('}')) {
    return JSON.stringify(shapeEvent([row.timestampMs, row.createdAtMs, row.id, body], properties))
  }
  const [timestamp, createdAt] = [new Date(row.timestampMs).toISOString(), new Date(row.createdAtMs).toISOString()]
  return `${body.slice(0, -1)},"keen":{"timestamp":"${timestamp}","created_at":"${createdAt}","id":"${row.id}"}}`
}

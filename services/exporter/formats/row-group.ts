import type { DecodedArray, SchemaElement } from 'hyparquet'
import type { ColumnSource } from 'hyparquet-writer'
import { asDouble, asInt64, type ColumnType, columnType } from './column-type.ts'
import { type JsonValue, parseExactly } from './exact-json.ts'
import type { FileEvent } from './format.ts'
import { KeptCounter } from './kept.ts'
import { type PropertyColumn, type PropertyColumns, REST_COLUMN } from './property-columns.ts'
import { Rest } from './rest.ts'
import { textOf, textReason } from './value-kind.ts'

const ROWS_MAX = 20_000
/** Rows times columns: the writer goes through all of them, nulls too, and nothing else runs in the meantime (a second). */
const CELLS_MAX = 10_000_000
/** Of the properties' JSON text. */
const TEXT_BYTES_MAX = 32 << 20

type Cell = string | number | bigint | boolean

/** The events of one row group, column by column. One object serves all groups of a file; it is cleared in between. */
export class RowGroup {
  readonly kept = new KeptCounter()
  readonly schema: readonly SchemaElement[]
  readonly columns: readonly ColumnSource[]
  readonly #properties: PropertyColumns
  readonly #filling: readonly FillingColumn[]
  readonly #timestamps: FillingColumn
  readonly #createdAts: FillingColumn
  readonly #ids: FillingColumn
  readonly #rests: FillingColumn
  readonly #byColumn: ReadonlyMap<PropertyColumn, TypedColumn>
  readonly #rest = new Rest()
  #rows = 0
  #textBytes = 0

  constructor(properties: PropertyColumns) {
    const rows = (): number => this.#rows
    const typed = properties.columns.map((column): [PropertyColumn, TypedColumn] => {
      const type = columnType(column.kinds)
      return [column, { type, cells: new FillingColumn(PROPERTY_ELEMENT[type.type](column.name), rows) }]
    })
    this.#properties = properties
    this.#timestamps = new FillingColumn(timestampElement('keen.timestamp'), rows)
    this.#createdAts = new FillingColumn(timestampElement('keen.created_at'), rows)
    this.#ids = new FillingColumn({ ...textElement('keen.id'), repetition_type: 'REQUIRED' }, rows)
    this.#rests = new FillingColumn(textElement(REST_COLUMN), rows)
    this.#byColumn = new Map(typed)
    this.#filling = [
      this.#timestamps,
      this.#createdAts,
      this.#ids,
      ...typed.map(([, { cells }]) => cells),
      ...(properties.hasRest ? [this.#rests] : []),
    ]
    this.columns = this.#filling
    this.schema = [
      { name: 'event', num_children: this.#filling.length },
      ...this.#filling.map(({ element }) => element),
    ]
  }

  get rows(): number {
    return this.#rows
  }

  /** By what is in it alone, so that the same events make the same groups. */
  get isFull(): boolean {
    return (
      this.#rows >= ROWS_MAX || (this.#rows + 1) * this.#filling.length > CELLS_MAX || this.#textBytes >= TEXT_BYTES_MAX
    )
  }

  add(event: FileEvent): void {
    const row = this.#rows
    this.#timestamps.set(row, BigInt(event.timestampMs))
    this.#createdAts.set(row, BigInt(event.createdAtMs))
    this.#ids.set(row, event.id)
    this.#properties.visit(parseExactly(event.properties.toString()), {
      value: (column, value) => {
        const typed = this.#byColumn.get(column)
        if (typed !== undefined) typed.cells.set(row, this.#cell(typed.type, value))
      },
      rest: (path, value, reason) => {
        this.kept.add(reason)
        this.#rest.add(path, value)
      },
    })
    const rest = this.#rest.take()
    if (rest !== null) this.#rests.set(row, rest)
    this.#rows += 1
    this.#textBytes += event.properties.length
  }

  clear(): void {
    for (const column of this.#filling) column.clear()
    this.#rows = 0
    this.#textBytes = 0
  }

  #cell(column: ColumnType, value: JsonValue): Cell {
    switch (column.type) {
      case 'BOOLEAN':
        return value === true
      case 'INT64':
        return asInt64(value)
      case 'DOUBLE':
        return asDouble(value)
      case 'TEXT':
        if (typeof value !== 'string') this.kept.add(textReason(value) ?? column.why)
        else if (!value.isWellFormed()) this.kept.add('lone_surrogate')
        return textOf(value)
      default:
        return column satisfies never
    }
  }
}

interface TypedColumn {
  readonly type: ColumnType
  readonly cells: FillingColumn
}

/**
 * A column's values of one row group, without its nulls: a wide file has many columns and few values in each row, and the
 * writer looks at one column at a time.
 */
class FillingColumn implements ColumnSource {
  readonly element: SchemaElement
  readonly name: string
  /** A dictionary has one place for 0 and -0. */
  readonly encoding?: 'PLAIN'
  readonly #rowsOf: number[] = []
  readonly #cells: Cell[] = []
  readonly #groupRows: () => number

  constructor(element: SchemaElement, groupRows: () => number) {
    this.element = element
    this.name = element.name
    if (element.type === 'DOUBLE') this.encoding = 'PLAIN'
    this.#groupRows = groupRows
  }

  /** Made anew on each call. */
  get data(): DecodedArray {
    const cells = Array<Cell | null>(this.#groupRows()).fill(null)
    for (const [i, row] of this.#rowsOf.entries()) cells[row] = this.#cells[i] ?? null
    return cells
  }

  set(row: number, cell: Cell): void {
    this.#rowsOf.push(row)
    this.#cells.push(cell)
  }

  clear(): void {
    this.#rowsOf.length = 0
    this.#cells.length = 0
  }
}

/** JSON text is text, without a word on its being JSON: ClickHouse would read such a column as one of objects and fail on a list. */
const textElement = (name: string): SchemaElement => ({
  name,
  type: 'BYTE_ARRAY',
  converted_type: 'UTF8',
  logical_type: { type: 'STRING' },
  repetition_type: 'OPTIONAL',
})

const timestampElement = (name: string): SchemaElement => ({
  name,
  type: 'INT64',
  converted_type: 'TIMESTAMP_MILLIS',
  logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
  repetition_type: 'REQUIRED',
})

const PROPERTY_ELEMENT: Readonly<Record<ColumnType['type'], (name: string) => SchemaElement>> = {
  BOOLEAN: (name) => ({ name, type: 'BOOLEAN', repetition_type: 'OPTIONAL' }),
  INT64: (name) => ({ name, type: 'INT64', repetition_type: 'OPTIONAL' }),
  DOUBLE: (name) => ({ name, type: 'DOUBLE', repetition_type: 'OPTIONAL' }),
  TEXT: textElement,
}

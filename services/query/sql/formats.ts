/** How an answer may be written: ClickHouse's format, and what the caller is told that it is. */
export const SQL_FORMATS = {
  json: { engine: 'JSONEachRow', contentType: 'application/json; charset=utf-8' },
  ndjson: { engine: 'JSONEachRow', contentType: 'application/x-ndjson; charset=utf-8' },
  csv: { engine: 'CSVWithNames', contentType: 'text/csv; charset=utf-8' },
  arrow: { engine: 'ArrowStream', contentType: 'application/vnd.apache.arrow.stream' },
  parquet: { engine: 'Parquet', contentType: 'application/vnd.apache.parquet' },
} as const

export type SqlFormat = keyof typeof SQL_FORMATS

export const isSqlFormat = (value: unknown): value is SqlFormat =>
  typeof value === 'string' && Object.hasOwn(SQL_FORMATS, value)

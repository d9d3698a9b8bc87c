/** A string inside an array or a map stands in quotes; alone it does not. Either way these five end it or bend it. */
const escape = (value: string): string =>
  value.replaceAll(/[\t\n\r'\\]/g, (char) => {
    if (char === '\t') return '\\t'
    if (char === '\n') return '\\n'
    if (char === '\r') return '\\r'
    return `\\${char}`
  })

function nested(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'boolean') return value ? 'TRUE' : 'FALSE'
  return typeof value === 'string' ? `'${escape(value)}'` : paramText(value)
}

/**
 * A parameter's value as ClickHouse reads it (`param_x`): the same encoding that `@clickhouse/client` sends over HTTP,
 * for the engine in the process, to which the client hands the values as they are.
 */
export function paramText(value: unknown): string {
  if (value === null || value === undefined) return '\\N'
  if (typeof value === 'string') return escape(value)
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') {
    if (Number.isNaN(value)) return 'nan'
    return Number.isFinite(value) ? String(value) : `${value > 0 ? '+' : '-'}inf`
  }
  if (Array.isArray(value)) return `[${value.map(nested).join(',')}]`
  if (value instanceof Date) return (value.getTime() / 1000).toFixed(3)
  if (typeof value !== 'object') throw new TypeError('a query parameter is a value, not a function or a symbol')
  const pairs = Object.entries(value).map(([key, item]) => `${nested(key)}:${nested(item)}`)
  return `{${pairs.join(',')}}`
}

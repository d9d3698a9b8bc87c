const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  "'": "\\'",
  '\0': '\\0',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}

/** A value as a single-quoted ClickHouse string literal. Only a backslash and a quote could end it early; both are escaped. */
export const quoteString = (value: string): string =>
  // biome-ignore format: one class of characters
  `'${value.replaceAll(/[\\'\0\b\f\n\r\t]/g, (char) => ESCAPES[char] ?? char)}'`

/** A name of ours (table, column, setting) in back-ticks. Rejects with a plain Error: no such name ever comes from a caller. */
export function quoteName(name: string): string {
  if (!NAME.test(name)) throw new Error('not a name')
  return `\`${name}\``
}

/** `name = value` pairs for a SETTINGS clause. */
export function settingsText(settings: Readonly<Record<string, string | number>>): string {
  return Object.entries(settings)
    .map(([name, value]) => {
      if (!NAME.test(name)) throw new Error('not the name of a setting')
      return `${name} = ${typeof value === 'number' ? value : quoteString(value)}`
    })
    .join(', ')
}

/** Names of the `{name:Type}` placeholders of a statement, those inside strings, quoted names and comments left out. */
export function placeholders(sql: string): ReadonlySet<string> {
  const names = new Set<string>()
  const token =
    /'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|--[^\n]*|\/\*[\s\S]*?\*\/|\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*:/g
  for (const match of sql.matchAll(token)) if (match[1] !== undefined) names.add(match[1])
  return names
}

/**
 * The one place where a caller's text becomes part of SQL text: the names of a property path, which ClickHouse takes as an
 * identifier only. Everything inside the backticks is literal but backtick, backslash and NUL, and these are escaped.
 */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('\0', '\\0')}\``
}

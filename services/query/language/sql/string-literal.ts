const ESCAPES: Readonly<Record<string, string>> = {
  '0': '\0', a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\\': '\\', "'": "'", '"': '"', '`': '`',
} // biome-ignore format: a table

/**
 * What stands between a quote at `start` and its like: a quote twice is one, and a backslash works as it does in
 * ClickHouse, where one that escapes nothing stays (`'\d'`). Undefined when the end is missing.
 */
export function readString(text: string, start: number): { readonly value: string; readonly end: number } | undefined {
  const quote = text[start]
  let value = ''
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at] ?? ''
    if (char === quote) {
      if (text[at + 1] !== quote) return { value, end: at + 1 }
      value += quote
      at++
    } else if (char === '\\') {
      const next = text[at + 1]
      if (next === undefined) return undefined
      const hex = next === 'x' ? /^[0-7][0-9a-fA-F]/.exec(text.slice(at + 2, at + 4))?.[0] : undefined
      value += hex === undefined ? (ESCAPES[next] ?? `\\${next}`) : String.fromCharCode(Number.parseInt(hex, 16))
      at += hex === undefined ? 1 : 3
    } else value += char
  }
  return undefined
}

import { BOUNDS } from './bounds.ts'
import { type Position, shown, sqlError } from './position.ts'
import { readString } from './string-literal.ts'

export type TokenKind = 'word' | 'quoted' | 'string' | 'number' | 'symbol' | 'end'

export interface Token extends Position {
  readonly kind: TokenKind
  /** A word as it was written, the name inside quotes, a string's value, a number's or a symbol's text. */
  readonly text: string
  /** Of a word, in capitals: what keywords are compared with. */
  readonly upper: string
  /** Where it stands in the text, in UTF-16 units. */
  readonly start: number
  readonly end: number
}

const SYMBOLS = ['->', '::', '||', '<=', '>=', '<>', '!=', '==', ...Array.from('()[]{},.*+-/%<>=:;')]
const SPACE = /[ \t\r\n\f]+/y
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y
const NUMBER = /(?:0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)/y

/**
 * The text in tokens, the last of which is the end. Whatever is none of ours is an error: other alphabets and control
 * characters stand in quotes only. Throws InvalidSqlError.
 */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = []
  const lines = lineStarts(text)
  let lineAt = 0
  const positionOf = (offset: number): Position => {
    while ((lines[lineAt + 1] ?? Infinity) <= offset) lineAt++
    return { line: lineAt + 1, column: offset - (lines[lineAt] ?? 0) + 1 }
  }
  const matched = (pattern: RegExp, at: number): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(text)?.[0]
  }
  let at = 0
  const push = (kind: TokenKind, value: string, end: number): void => {
    if (tokens.length >= BOUNDS.tokens) throw sqlError(`more than ${BOUNDS.tokens} words and signs`, positionOf(at))
    tokens.push({
      kind,
      text: value,
      upper: kind === 'word' ? value.toUpperCase() : '',
      start: at,
      end,
      ...positionOf(at),
    })
    at = end
  }
  while (at < text.length) {
    const space = matched(SPACE, at)
    if (space !== undefined) {
      at += space.length
      continue
    }
    const comment = commentEnd(text, at)
    if (comment === -1) throw sqlError('a comment that does not end', positionOf(at))
    if (comment !== undefined) {
      at = comment
      continue
    }
    const char = text[at] ?? ''
    if (char === "'" || char === '`' || char === '"') {
      const read = readString(text, at)
      if (read === undefined) throw sqlError(`${char} without its end`, positionOf(at))
      if (char !== "'" && read.value === '') throw sqlError('a name without a character', positionOf(at))
      push(char === "'" ? 'string' : 'quoted', read.value, read.end)
      continue
    }
    const word = matched(WORD, at)
    if (word !== undefined) {
      push('word', word, at + word.length)
      continue
    }
    const number = /[\d.]/.test(char) ? matched(NUMBER, at) : undefined
    if (number !== undefined && !isPath(tokens.at(-1), at, char)) {
      const end = at + number.length
      if (/[A-Za-z_]/.test(text[end] ?? '')) throw sqlError(`${shown(number)} is no number`, positionOf(at))
      push('number', number, end)
      continue
    }
    const symbol = SYMBOLS.find((candidate) => text.startsWith(candidate, at))
    if (symbol === undefined) {
      const point = String.fromCodePoint(text.codePointAt(at) ?? 0)
      throw sqlError(`unexpected character ${JSON.stringify(point)}; names with it stand in backticks`, positionOf(at))
    }
    push('symbol', symbol, at + symbol.length)
  }
  push('end', '', at)
  return tokens
}

/** A dot right behind a name goes on with a path. */
const isPath = (before: Token | undefined, at: number, char: string): boolean =>
  char === '.' && before?.end === at && (before.kind === 'word' || before.kind === 'quoted')

/** Undefined where no comment begins, -1 where one does not end. */
function commentEnd(text: string, at: number): number | undefined {
  if (text.startsWith('--', at)) {
    const end = text.indexOf('\n', at)
    return end === -1 ? text.length : end + 1
  }
  if (!text.startsWith('/*', at)) return undefined
  const end = text.indexOf('*/', at + 2)
  return end === -1 ? -1 : end + 2
}

function lineStarts(text: string): readonly number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

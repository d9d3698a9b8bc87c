import { AppError } from '../../shared/errors.ts'

export interface Position {
  /** Both from 1. */
  readonly line: number
  readonly column: number
}

export type TokenKind = 'word' | 'quoted' | 'string' | 'number' | 'parameter' | 'operator' | 'end'

export interface Token extends Position {
  readonly kind: TokenKind
  /** A word as written; a quoted name or a string without its quotes; a parameter as `name:Type`. */
  readonly text: string
}

export const SQL_BYTES_MAX = 65_536
const TOKENS_MAX = 20_000

/** Longest first. What is not here is not SQL to us. */
const OPERATORS = [
  '->',
  '::',
  '<=',
  '>=',
  '<>',
  '!=',
  '||',
  '==',
  '=',
  '<',
  '>',
  '+',
  '-',
  '*',
  '/',
  '%',
  '(',
  ')',
  '[',
  ']',
  ',',
  '.',
  ';',
  ':',
]
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y
const NUMBER = /(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?/y
const SPACE = /[ \t\r\n]+/y
const PARAMETER = /\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*:\s*([A-Za-z0-9_(), ]+?)\s*\}/y

/** An error in the caller's text, at a place there. */
export const sqlError = (at: Position, problem: string): AppError =>
  new AppError('InvalidSqlError', `Line ${at.line}, column ${at.column}: ${problem}.`)

/** The text in pieces; comments are left out. Throws InvalidSqlError. */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  let line = 1
  let lineStart = 0
  const here = (): Position => ({ line, column: at - lineStart + 1 })
  const advance = (to: number): void => {
    for (
      let newline = text.indexOf('\n', at);
      newline !== -1 && newline < to;
      newline = text.indexOf('\n', newline + 1)
    ) {
      line++
      lineStart = newline + 1
    }
    at = to
  }
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    return pattern.exec(text)
  }
  const push = (kind: TokenKind, value: string, to: number): void => {
    tokens.push({ kind, text: value, ...here() })
    if (tokens.length > TOKENS_MAX) throw sqlError(here(), 'the statement is too long')
    advance(to)
  }

  while (at < text.length) {
    const space = match(SPACE)
    if (space !== null) {
      advance(at + space[0].length)
      continue
    }
    if (text.startsWith('--', at)) {
      const end = text.indexOf('\n', at)
      advance(end === -1 ? text.length : end)
      continue
    }
    if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2)
      if (end === -1) throw sqlError(here(), 'a comment that does not end')
      advance(end + 2)
      continue
    }
    const quote = text[at]
    if (quote === "'" || quote === '"' || quote === '`') {
      const { value, end } = quoted(text, at, quote, here())
      push(quote === "'" ? 'string' : 'quoted', value, end)
      continue
    }
    const parameter = match(PARAMETER)
    if (parameter !== null) {
      push('parameter', `${parameter[1]}:${parameter[2]}`, at + parameter[0].length)
      continue
    }
    const found = match(WORD)
    if (found !== null) {
      push('word', found[0], at + found[0].length)
      continue
    }
    const number = match(NUMBER)
    if (number !== null) {
      push('number', number[0], at + number[0].length)
      continue
    }
    const operator = OPERATORS.find((one) => text.startsWith(one, at))
    if (operator === undefined) throw sqlError(here(), 'a character that SQL does not have here')
    push('operator', operator, at + operator.length)
  }
  tokens.push({ kind: 'end', text: '', ...here() })
  return tokens
}

/** A quote inside is written twice; a backslash is a character like any other. */
function quoted(text: string, start: number, quote: string, at: Position): { value: string; end: number } {
  let value = ''
  let from = start + 1
  for (;;) {
    const end = text.indexOf(quote, from)
    if (end === -1) throw sqlError(at, `a ${quote} without its second one`)
    value += text.slice(from, end)
    if (text[end + 1] !== quote) return { value, end: end + 1 }
    value += quote
    from = end + 2
  }
}

import type { QueryNode } from './ast.ts'
import { BOUNDS } from './bounds.ts'
import { type Position, shown, sqlError } from './position.ts'
import type { Token } from './tokens.ts'

/** Words that are no names unless they stand in quotes or behind a dot. */
const RESERVED = new Set(
  `ALL AND ANTI ANY ARRAY AS ASC BETWEEN BY CASE CAST CROSS DESC DISTINCT ELSE END EXCEPT EXISTS FINAL FORMAT FROM FULL GLOBAL
   GROUP HAVING ILIKE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT NOT NULL OFFSET ON OR ORDER OUTER OVER PREWHERE QUALIFY RIGHT
   SAMPLE SELECT SEMI SETTINGS THEN TRUE FALSE UNION USING WHEN WHERE WINDOW WITH ASOF`.split(/\s+/),
)

/** A place in the tokens, and the ways to go on from it. */
export class Cursor {
  readonly text: string
  readonly #tokens: readonly Token[]
  readonly #parseQuery: (cursor: Cursor) => QueryNode
  #at = 0
  #depth = 0

  constructor(text: string, tokens: readonly Token[], parseQuery: (cursor: Cursor) => QueryNode) {
    this.text = text
    this.#parseQuery = parseQuery
    this.#tokens = tokens
  }

  peek(ahead = 0): Token {
    const token = this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)]
    if (token === undefined) throw new Error('no tokens')
    return token
  }

  get before(): Token | undefined {
    return this.#tokens[this.#at - 1]
  }

  next(): Token {
    const token = this.peek()
    this.#at++
    return token
  }

  isWord(word: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token.kind === 'word' && token.upper === word
  }

  isSymbol(symbol: string, ahead = 0): boolean {
    const token = this.peek(ahead)
    return token.kind === 'symbol' && token.text === symbol
  }

  /** Goes past these words when all of them come next. */
  take(...words: readonly string[]): boolean {
    if (!words.every((word, i) => this.isWord(word, i))) return false
    this.#at += words.length
    return true
  }

  takeSymbol(symbol: string): boolean {
    if (!this.isSymbol(symbol)) return false
    this.#at++
    return true
  }

  expect(word: string): void {
    if (!this.take(word)) throw this.unexpected(word)
  }

  expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) throw this.unexpected(symbol)
  }

  /** A name: quoted, or a word that is not reserved. */
  name(what: string): string {
    if (!this.isName()) throw this.unexpected(what)
    return this.next().text
  }

  /** Any word, reserved or not. */
  word(what: string): string {
    if (this.peek().kind !== 'word') throw this.unexpected(what)
    return this.next().text
  }

  isName(ahead = 0): boolean {
    const token = this.peek(ahead)
    return token.kind === 'quoted' || (token.kind === 'word' && !RESERVED.has(token.upper))
  }

  unexpected(wanted: string): Error {
    const token = this.peek()
    const found = token.kind === 'end' ? 'the end of the query' : JSON.stringify(shown(token.text))
    return sqlError(`expected ${wanted}, found ${found}`, token)
  }

  /** Zero or more, with commas between. */
  list<T>(item: () => T): readonly T[] {
    const items = [item()]
    while (this.takeSymbol(',')) items.push(item())
    return items
  }

  /** A whole query, up to the parenthesis that ends it. */
  query(): QueryNode {
    const query = this.inside(() => this.#parseQuery(this))
    this.expectSymbol(')')
    return query
  }

  /** Whether a SELECT begins `ahead` tokens from here, perhaps in parentheses of its own. */
  startsQuery(ahead: number): boolean {
    let at = ahead
    while (this.isSymbol('(', at)) at++
    return this.isWord('SELECT', at) || (this.isWord('WITH', at) && at === ahead)
  }

  /** Parses something inside of what is being parsed. */
  inside<T>(parse: () => T): T {
    if (++this.#depth > BOUNDS.depth) throw sqlError(`nested deeper than ${BOUNDS.depth}`, this.peek())
    const parsed = parse()
    this.#depth--
    return parsed
  }
}

export const positionOf = ({ line, column }: Position): Position => ({ line, column })

import type { Bound, Expr, From, Order, Query, Select, SetNode, Window } from './ast.ts'
import { INTERVAL_UNITS } from './functions.ts'
import { type Position, sqlError, type Token, tokenize } from './tokens.ts'

const DEPTH_MAX = 60

/** Words that end an expression or a table, and so are no alias unless quoted. */
const RESERVED = new Set(
  `SELECT FROM WHERE GROUP HAVING ORDER LIMIT OFFSET UNION INTERSECT EXCEPT ON USING JOIN INNER LEFT RIGHT FULL OUTER CROSS AS AND OR NOT IN IS LIKE ILIKE
   BETWEEN CASE WHEN THEN ELSE END WITH DISTINCT ALL ASC DESC NULLS BY OVER SETTINGS FORMAT INTO PREWHERE SAMPLE FINAL ARRAY ANY ASOF WINDOW QUALIFY`.split(
    /\s+/,
  ),
)
const COMPARISONS = new Set(['=', '==', '!=', '<>', '<', '<=', '>', '>='])

/** One SELECT, whole, as a tree. Throws InvalidSqlError with the place. */
export function parseSql(text: string): Query {
  return new Parser(tokenize(text)).statement()
}

class Parser {
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  statement(): Query {
    if (!this.#isWord('SELECT') && !this.#isWord('WITH') && !this.#is('(')) {
      throw sqlError(this.#peek(), 'a statement here is one SELECT')
    }
    const query = this.#query()
    if (this.#is(';')) this.#next()
    if (this.#peek().kind !== 'end') throw this.#unexpected()
    return query
  }

  #peek(ahead = 0): Token {
    const token = this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)]
    if (token === undefined) throw new Error('a statement ends with a token')
    return token
  }
  #next(): Token {
    const token = this.#peek()
    this.#at++
    return token
  }
  #is(operator: string, ahead = 0): boolean {
    const token = this.#peek(ahead)
    return token.kind === 'operator' && token.text === operator
  }
  #isWord(word: string, ahead = 0): boolean {
    const token = this.#peek(ahead)
    return token.kind === 'word' && token.text.toUpperCase() === word
  }
  #take(operator: string): boolean {
    const found = this.#is(operator)
    if (found) this.#at++
    return found
  }
  #takeWord(...words: readonly string[]): boolean {
    const found = words.every((word, i) => this.#isWord(word, i))
    if (found) this.#at += words.length
    return found
  }
  #expect(operator: string): void {
    if (!this.#take(operator)) throw this.#unexpected(operator)
  }
  #expectWord(word: string): void {
    if (!this.#takeWord(word)) throw this.#unexpected(word)
  }
  #unexpected(wanted?: string): Error {
    const token = this.#peek()
    const seen = token.kind === 'end' ? 'the end' : token.kind === 'string' ? 'a text' : `“${token.text.slice(0, 40)}”`
    return sqlError(
      token,
      wanted === undefined ? `${seen} is not understood here` : `${wanted} is expected, not ${seen}`,
    )
  }
  #deeper<T>(parse: () => T): T {
    if (++this.#depth > DEPTH_MAX) throw sqlError(this.#peek(), `nested deeper than ${DEPTH_MAX} levels`)
    try {
      return parse()
    } finally {
      this.#depth--
    }
  }
  #list<T>(parse: () => T): T[] {
    const items = [parse()]
    while (this.#take(',')) items.push(parse())
    return items
  }

  #query(): Query {
    return this.#deeper(() => {
      const ctes = this.#takeWord('WITH')
        ? this.#list(() => {
            const name = this.#name()
            this.#expectWord('AS')
            this.#expect('(')
            const query = this.#query()
            this.#expect(')')
            return { name, query }
          })
        : []
      const body = this.#sets()
      const orderBy = this.#takeWord('ORDER', 'BY') ? this.#list(() => this.#order()) : []
      return { ctes, body, orderBy, limit: this.#limit() }
    })
  }

  #limit(): Query['limit'] {
    if (this.#takeWord('LIMIT')) {
      const count = this.#expr()
      if (this.#take(',')) return { count: this.#expr(), offset: count }
      return { count, offset: this.#takeWord('OFFSET') ? this.#expr() : null }
    }
    return null
  }

  #sets(): SetNode {
    let left = this.#intersections()
    for (;;) {
      const isUnion = this.#takeWord('UNION')
      if (!isUnion && !this.#takeWord('EXCEPT')) return left
      const isAll = this.#takeWord('ALL')
      if (!isAll) this.#takeWord('DISTINCT')
      else if (!isUnion) throw sqlError(this.#peek(), 'EXCEPT ALL is not there: EXCEPT gives each row once')
      const operator = isUnion ? (isAll ? 'UNION ALL' : 'UNION DISTINCT') : 'EXCEPT'
      left = { kind: 'set', operator, left, right: this.#intersections() }
    }
  }

  #intersections(): SetNode {
    let left = this.#setPart()
    while (this.#takeWord('INTERSECT')) {
      this.#takeWord('DISTINCT')
      left = { kind: 'set', operator: 'INTERSECT', left, right: this.#setPart() }
    }
    return left
  }

  #setPart(): SetNode {
    if (!this.#is('(')) return this.#select()
    this.#next()
    const query = this.#query()
    this.#expect(')')
    return { kind: 'nested', query }
  }

  #select(): Select {
    const at = this.#peek()
    this.#expectWord('SELECT')
    const isDistinct = this.#takeWord('DISTINCT')
    const columns = this.#list(() => ({ expr: this.#selected(), alias: this.#alias() }))
    const from = this.#takeWord('FROM') ? this.#from() : null
    const where = this.#takeWord('WHERE') ? this.#expr() : null
    const groupBy = this.#takeWord('GROUP', 'BY') ? this.#list(() => this.#expr()) : []
    const having = this.#takeWord('HAVING') ? this.#expr() : null
    return {
      kind: 'select',
      line: at.line,
      column: at.column,
      isDistinct,
      columns,
      from,
      where,
      groupBy,
      having,
      limitBy: this.#limitBy(),
    }
  }

  /** `LIMIT n BY …`, which stands before the order of the whole in this grammar or not at all. */
  #limitBy(): Select['limitBy'] {
    if (!this.#isWord('LIMIT') || this.#peek(1).kind !== 'number' || !this.#isWord('BY', 2)) return null
    this.#next()
    const count = this.#expr()
    this.#expectWord('BY')
    return { count, by: this.#list(() => this.#expr()) }
  }

  #selected(): Expr {
    const { line, column } = this.#peek()
    return this.#take('*') ? { kind: 'star', line, column } : this.#expr()
  }

  #alias(): string | null {
    if (this.#takeWord('AS')) return this.#name()
    const token = this.#peek()
    if (token.kind === 'quoted') return this.#next().text
    if (token.kind !== 'word' || RESERVED.has(token.text.toUpperCase())) return null
    return this.#next().text
  }

  #name(): string {
    const token = this.#peek()
    if (token.kind !== 'word' && token.kind !== 'quoted') throw this.#unexpected('a name')
    if (token.kind === 'word' && RESERVED.has(token.text.toUpperCase())) throw this.#unexpected('a name')
    return this.#next().text
  }

  #from(): From {
    let left = this.#table()
    for (;;) {
      const at = this.#peek()
      const { line, column } = at
      if (this.#take(',') || this.#takeWord('CROSS', 'JOIN')) {
        left = { kind: 'join', type: 'CROSS', left, right: this.#table(), on: null, line, column }
        continue
      }
      const type = this.#joinType()
      if (type === undefined) return left
      const right = this.#table()
      this.#expectWord('ON')
      left = { kind: 'join', type, left, right, on: this.#expr(), line, column }
    }
  }

  #joinType(): 'INNER' | 'LEFT' | 'RIGHT' | 'FULL' | undefined {
    if (this.#takeWord('JOIN') || this.#takeWord('INNER', 'JOIN')) return 'INNER'
    for (const type of ['LEFT', 'RIGHT', 'FULL'] as const) {
      if (this.#takeWord(type, 'JOIN') || this.#takeWord(type, 'OUTER', 'JOIN')) return type
    }
    return undefined
  }

  #table(): From {
    return this.#deeper((): From => {
      const { line, column } = this.#peek()
      if (this.#take('(')) {
        if (this.#isWord('SELECT') || this.#isWord('WITH') || this.#is('(')) {
          const query = this.#query()
          this.#expect(')')
          return { kind: 'derived', query, alias: this.#alias(), line, column }
        }
        const inner = this.#from()
        this.#expect(')')
        return inner
      }
      const name = this.#name()
      if (this.#is('(')) throw sqlError({ line, column }, 'a function is no table here')
      if (this.#is('.'))
        throw sqlError(
          { line, column },
          'a table is a collection’s name, without a database; quote a name that has a dot',
        )
      return { kind: 'table', name, alias: this.#alias(), line, column }
    })
  }

  #order(): Order {
    const expr = this.#expr()
    const descending = this.#takeWord('DESC')
    if (!descending) this.#takeWord('ASC')
    const nulls = this.#takeWord('NULLS', 'FIRST') ? 'FIRST' : this.#takeWord('NULLS', 'LAST') ? 'LAST' : null
    if (this.#isWord('WITH') || this.#isWord('COLLATE')) throw this.#unexpected()
    return { expr, descending, nulls }
  }

  #expr(): Expr {
    return this.#deeper(() => this.#or())
  }

  #binary(next: () => Expr, operatorOf: () => string | undefined): Expr {
    let left = next()
    for (;;) {
      const { line, column } = this.#peek()
      const operator = operatorOf()
      if (operator === undefined) return left
      left = { kind: 'binary', operator, left, right: next(), line, column }
    }
  }
  #or(): Expr {
    return this.#binary(
      () => this.#and(),
      () => (this.#takeWord('OR') ? 'OR' : undefined),
    )
  }
  #and(): Expr {
    return this.#binary(
      () => this.#not(),
      () => (this.#takeWord('AND') ? 'AND' : undefined),
    )
  }
  #not(): Expr {
    const { line, column } = this.#peek()
    if (!this.#takeWord('NOT')) return this.#comparison()
    return this.#deeper(() => ({ kind: 'unary', operator: 'NOT', value: this.#not(), line, column }))
  }

  #comparison(): Expr {
    let left = this.#sum()
    for (;;) {
      const token = this.#peek()
      const { line, column } = token
      if (token.kind === 'operator' && COMPARISONS.has(token.text)) {
        this.#next()
        const operator = token.text === '==' ? '=' : token.text === '<>' ? '!=' : token.text
        left = { kind: 'binary', operator, left, right: this.#sum(), line, column }
        continue
      }
      if (this.#takeWord('IS')) {
        const negated = this.#takeWord('NOT')
        this.#expectWord('NULL')
        left = { kind: 'isNull', value: left, negated, line, column }
        continue
      }
      const negated = this.#isWord('NOT') && ['IN', 'LIKE', 'ILIKE', 'BETWEEN'].some((word) => this.#isWord(word, 1))
      if (negated) this.#next()
      const compared = this.#matching(left, negated, { line, column })
      if (compared === undefined) return left
      left = compared
    }
  }

  #matching(value: Expr, negated: boolean, { line, column }: Position): Expr | undefined {
    if (this.#takeWord('IN')) {
      this.#expect('(')
      const list =
        this.#isWord('SELECT') || this.#isWord('WITH')
          ? this.#query()
          : this.#is(')')
            ? []
            : this.#list(() => this.#expr())
      this.#expect(')')
      return { kind: 'in', value, list, negated, line, column }
    }
    if (this.#takeWord('BETWEEN')) {
      const low = this.#sum()
      this.#expectWord('AND')
      return { kind: 'between', value, low, high: this.#sum(), negated, line, column }
    }
    for (const word of ['LIKE', 'ILIKE']) {
      if (!this.#takeWord(word)) continue
      return { kind: 'binary', operator: negated ? `NOT ${word}` : word, left: value, right: this.#sum(), line, column }
    }
    return undefined
  }

  #sum(): Expr {
    return this.#binary(
      () => this.#product(),
      () => ['+', '-', '||'].find((operator) => this.#take(operator)),
    )
  }
  #product(): Expr {
    return this.#binary(
      () => this.#signed(),
      () => ['*', '/', '%'].find((operator) => this.#take(operator)),
    )
  }
  #signed(): Expr {
    const { line, column } = this.#peek()
    if (this.#take('+')) return this.#deeper(() => this.#signed())
    if (!this.#take('-')) return this.#postfix()
    return this.#deeper(() => ({ kind: 'unary', operator: '-', value: this.#signed(), line, column }))
  }

  #postfix(): Expr {
    let value = this.#primary()
    for (;;) {
      const { line, column } = this.#peek()
      if (this.#take('::')) value = { kind: 'cast', value, type: this.#type(), line, column }
      else if (this.#take('[')) {
        const index = this.#expr()
        this.#expect(']')
        value = { kind: 'element', value, index, line, column }
      } else return value
    }
  }

  #type(): string {
    const token = this.#next()
    if (token.kind !== 'word') throw sqlError(token, 'a type is expected')
    return token.text
  }

  #primary(): Expr {
    const token = this.#peek()
    const at = { line: token.line, column: token.column }
    switch (token.kind) {
      case 'string':
        this.#next()
        return { kind: 'text', value: token.text, ...at }
      case 'number':
        this.#next()
        return { kind: 'number', value: token.text, ...at }
      case 'parameter': {
        this.#next()
        const colon = token.text.indexOf(':')
        return { kind: 'parameter', name: token.text.slice(0, colon), type: token.text.slice(colon + 1), ...at }
      }
      case 'quoted':
        return this.#column(at)
      case 'word':
        return this.#worded(token, at)
      case 'operator':
        return this.#bracketed(at)
      case 'end':
        throw this.#unexpected()
      default:
        return token.kind satisfies never
    }
  }

  #bracketed(at: Position): Expr {
    if (this.#take('[')) {
      const items = this.#is(']') ? [] : this.#list(() => this.#expr())
      this.#expect(']')
      return { kind: 'array', items, ...at }
    }
    if (!this.#take('(')) throw this.#unexpected()
    if (this.#isWord('SELECT') || this.#isWord('WITH')) {
      const query = this.#query()
      this.#expect(')')
      return { kind: 'subquery', query, ...at }
    }
    const items = this.#list(() => this.#expr())
    this.#expect(')')
    const [only] = items
    return items.length === 1 && only !== undefined ? only : { kind: 'tuple', items, ...at }
  }

  #worded(token: Token, at: Position): Expr {
    const word = token.text.toUpperCase()
    if (word === 'NULL' || word === 'TRUE' || word === 'FALSE') {
      this.#next()
      return { kind: 'constant', value: word === 'NULL' ? 'NULL' : word === 'TRUE' ? 'true' : 'false', ...at }
    }
    if (word === 'CASE') return this.#case(at)
    if (word === 'CAST' && this.#is('(', 1)) {
      this.#at += 2
      const value = this.#expr()
      this.#expectWord('AS')
      const type = this.#type()
      this.#expect(')')
      return { kind: 'cast', value, type, ...at }
    }
    if (word === 'INTERVAL' && !this.#is('(', 1)) {
      this.#next()
      const value = this.#postfix()
      const unit = this.#next()
      const name = unit.text.toUpperCase().replace(/S$/, '')
      if (unit.kind !== 'word' || !INTERVAL_UNITS.has(name)) throw sqlError(unit, 'a unit of time is expected')
      return { kind: 'interval', value, unit: name, ...at }
    }
    if (RESERVED.has(word) && !(this.#is('(', 1) && (word === 'LEFT' || word === 'RIGHT'))) throw this.#unexpected()
    return this.#is('(', 1) ? this.#call(at) : this.#column(at)
  }

  #column(at: Position): Expr {
    const path = [this.#next().text]
    while (this.#is('.')) {
      const after = this.#peek(1)
      if (after.kind !== 'word' && after.kind !== 'quoted') break
      this.#at++
      path.push(this.#next().text)
    }
    if (this.#is('.') || this.#is(':')) throw this.#unexpected()
    return { kind: 'column', path, ...at }
  }

  #call(at: Position): Expr {
    const name = this.#next().text
    this.#expect('(')
    const isDistinct = this.#takeWord('DISTINCT')
    let args = this.#arguments()
    let parameters: readonly Expr[] = []
    if (this.#is('(')) {
      this.#next()
      parameters = args
      args = this.#arguments()
    }
    const over = this.#takeWord('OVER') ? this.#window() : null
    return { kind: 'call', name, parameters, args, isDistinct, over, ...at }
  }

  #arguments(): Expr[] {
    const args = this.#is(')') ? [] : this.#list(() => this.#argument())
    this.#expect(')')
    return args
  }

  #argument(): Expr {
    const { line, column } = this.#peek()
    if (this.#is('*') && (this.#is(')', 1) || this.#is(',', 1))) {
      this.#next()
      return { kind: 'star', line, column }
    }
    const names = this.#lambdaNames()
    if (names !== undefined) return { kind: 'lambda', names, body: this.#expr(), line, column }
    return this.#expr()
  }

  /** `x ->` or `(x, y) ->`; undefined, and nothing read, when it is something else. */
  #lambdaNames(): readonly string[] | undefined {
    const isName = (ahead: number): boolean => this.#peek(ahead).kind === 'word'
    if (isName(0) && this.#is('->', 1)) {
      const names = [this.#next().text]
      this.#next()
      return names
    }
    if (!this.#is('(')) return undefined
    let ahead = 1
    const names: string[] = []
    while (isName(ahead)) {
      names.push(this.#peek(ahead).text)
      ahead++
      if (!this.#is(',', ahead)) break
      ahead++
    }
    if (names.length === 0 || !this.#is(')', ahead) || !this.#is('->', ahead + 1)) return undefined
    this.#at += ahead + 2
    return names
  }

  #case(at: Position): Expr {
    this.#next()
    const of = this.#isWord('WHEN') ? null : this.#expr()
    const branches: [Expr, Expr][] = []
    while (this.#takeWord('WHEN')) {
      const when = this.#expr()
      this.#expectWord('THEN')
      branches.push([when, this.#expr()])
    }
    if (branches.length === 0) throw this.#unexpected('WHEN')
    const otherwise = this.#takeWord('ELSE') ? this.#expr() : null
    this.#expectWord('END')
    return { kind: 'case', of, branches, otherwise, ...at }
  }

  #window(): Window {
    this.#expect('(')
    const partitionBy = this.#takeWord('PARTITION', 'BY') ? this.#list(() => this.#expr()) : []
    const orderBy = this.#takeWord('ORDER', 'BY') ? this.#list(() => this.#order()) : []
    const unit = this.#takeWord('ROWS') ? 'ROWS' : this.#takeWord('RANGE') ? 'RANGE' : undefined
    let frame: Window['frame'] = null
    if (unit !== undefined) {
      this.#expectWord('BETWEEN')
      const from = this.#bound()
      this.#expectWord('AND')
      frame = { unit, from, to: this.#bound() }
    }
    this.#expect(')')
    return { partitionBy, orderBy, frame }
  }

  #bound(): Bound {
    if (this.#takeWord('CURRENT', 'ROW')) return 0
    const token = this.#next()
    const count =
      token.kind === 'word' && token.text.toUpperCase() === 'UNBOUNDED'
        ? Number.POSITIVE_INFINITY
        : token.kind === 'number' && /^\d{1,9}$/.test(token.text)
          ? Number(token.text)
          : undefined
    if (count === undefined) throw sqlError(token, 'a number of rows, UNBOUNDED or CURRENT ROW is expected')
    if (this.#takeWord('PRECEDING')) return -count
    this.#expectWord('FOLLOWING')
    return count
  }
}

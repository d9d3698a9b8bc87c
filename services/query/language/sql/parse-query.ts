import type {
  CteNode,
  ExprNode,
  FromNode,
  ItemNode,
  LimitByNode,
  NameNode,
  QueryNode,
  SelectNode,
  SetNode,
} from './ast.ts'
import { BOUNDS } from './bounds.ts'
import { Cursor, positionOf } from './cursor.ts'
import { parseExpr, parseName, parseOrder, parseWindow } from './parse-expression.ts'
import { type Position, sqlError } from './position.ts'
import { tokenize } from './tokens.ts'

/** One SELECT statement. Throws InvalidSqlError with the place of whatever is not understood. */
export function parseSql(text: string): QueryNode {
  if (Buffer.byteLength(text) > BOUNDS.textBytes) {
    throw sqlError(`the query is longer than ${BOUNDS.textBytes} bytes`, { line: 1, column: 1 })
  }
  const cursor = new Cursor(text, tokenize(text), parseQueryNode)
  const query = parseQueryNode(cursor)
  cursor.takeSymbol(';')
  if (cursor.peek().kind !== 'end') throw cursor.unexpected('the end of the query')
  return query
}

function parseQueryNode(c: Cursor): QueryNode {
  const at = positionOf(c.peek())
  const ctes: CteNode[] = []
  if (c.take('WITH')) {
    if (c.isWord('RECURSIVE') && c.isName(1)) throw sqlError('WITH RECURSIVE is not supported', c.peek())
    ctes.push(
      ...c.list(() => {
        const cteAt = positionOf(c.peek())
        const name = c.name('the name of a subquery')
        c.expect('AS')
        c.expectSymbol('(')
        const query = c.query()
        return { at: cteAt, name, query }
      }),
    )
  }
  const body = parseUnion(c)
  const tail = parseTail(c)
  const { orderBy, limitBy, limit, offset } = tail
  const isBare = ctes.length === 0 && orderBy.length === 0 && limitBy === null && limit === null && offset === null
  return isBare ? body : { ...EMPTY_TAIL, at, ctes, body: wrapped(body), ...tail }
}

const EMPTY_TAIL = { orderBy: [], limitBy: null, limit: null, offset: null } as const

/** A parenthesised query that has a tail of its own stays one. */
function wrapped(query: QueryNode): QueryNode['body'] {
  const { at, ctes, body, orderBy, limitBy, limit, offset } = query
  if (ctes.length === 0 && orderBy.length === 0 && limitBy === null && limit === null && offset === null) return body
  return {
    ...selectOf(at),
    items: [{ kind: 'star', table: null, at }],
    from: { kind: 'subquery', at, query, alias: null },
  }
}

const selectOf = (at: Position): SelectNode => ({
  kind: 'select',
  at,
  isDistinct: false,
  items: [],
  from: null,
  where: null,
  grouping: 'plain',
  groupBy: [],
  having: null,
  windows: [],
})

const bare = (body: SelectNode | SetNode): QueryNode => ({ ...EMPTY_TAIL, at: body.at, ctes: [], body })

function parseUnion(c: Cursor): QueryNode {
  let left = parseIntersect(c)
  for (let branches = 1; ; branches++) {
    const at = positionOf(c.peek())
    let operator: SetNode['operator']
    if (c.take('UNION')) {
      if (c.take('ALL')) operator = 'UNION ALL'
      else {
        c.take('DISTINCT')
        operator = 'UNION DISTINCT'
      }
    } else if (c.take('EXCEPT')) operator = c.take('DISTINCT') ? 'EXCEPT DISTINCT' : 'EXCEPT'
    else return left
    if (branches >= BOUNDS.tables) throw sqlError(`more than ${BOUNDS.tables} parts of a union`, at)
    left = bare({ kind: 'set', operator, left, right: parseIntersect(c), at })
  }
}

function parseIntersect(c: Cursor): QueryNode {
  let left = parseTerm(c)
  for (let branches = 1; ; branches++) {
    const at = positionOf(c.peek())
    if (!c.take('INTERSECT')) return left
    if (branches >= BOUNDS.tables) throw sqlError(`more than ${BOUNDS.tables} parts of an intersection`, at)
    const operator = c.take('DISTINCT') ? 'INTERSECT DISTINCT' : 'INTERSECT'
    left = bare({ kind: 'set', operator, left, right: parseTerm(c), at })
  }
}

function parseTerm(c: Cursor): QueryNode {
  if (!c.isSymbol('(')) return bare(parseSelect(c))
  c.next()
  const query = c.query()
  return query
}

function parseTail(c: Cursor): Pick<QueryNode, 'orderBy' | 'limitBy' | 'limit' | 'offset'> {
  const orderBy = c.take('ORDER', 'BY') ? parseOrder(c) : []
  let limitBy: LimitByNode | null = null
  let limit: ExprNode | null = null
  let offset: ExprNode | null = null
  while (limit === null && c.take('LIMIT')) {
    const count = parseExpr(c)
    if (c.take('BY')) {
      if (limitBy !== null) throw sqlError('LIMIT … BY a second time', count.at)
      limitBy = { limit: count, by: c.list(() => parseExpr(c)) }
    } else if (c.takeSymbol(',')) {
      offset = count
      limit = parseExpr(c)
    } else limit = count
  }
  if (offset === null && c.take('OFFSET')) {
    offset = parseExpr(c)
    if (!c.take('ROWS')) c.take('ROW')
  }
  return { orderBy, limitBy, limit, offset }
}

function parseSelect(c: Cursor): SelectNode {
  const at = positionOf(c.peek())
  c.expect('SELECT')
  const isDistinct = c.take('DISTINCT')
  if (!isDistinct) c.take('ALL')
  const items = c.list(() => parseItem(c))
  if (items.length > BOUNDS.columns) throw sqlError(`more than ${BOUNDS.columns} columns`, at)
  const from = c.take('FROM') ? parseFrom(c) : null
  const where = c.take('WHERE') ? parseExpr(c) : null
  let grouping: SelectNode['grouping'] = 'plain'
  let groupBy: readonly ExprNode[] = []
  if (c.take('GROUP', 'BY')) {
    const word = c.isSymbol('(', 1) ? c.peek().upper : ''
    if (word === 'ROLLUP' || word === 'CUBE') {
      grouping = word
      c.next()
      c.next()
    }
    groupBy = c.list(() => parseExpr(c))
    if (grouping !== 'plain') c.expectSymbol(')')
  }
  const having = c.take('HAVING') ? parseExpr(c) : null
  const windows = c.take('WINDOW')
    ? c.list(() => {
        const name = c.name('the name of a window')
        c.expect('AS')
        return { name, window: parseWindow(c) }
      })
    : []
  return { kind: 'select', at, isDistinct, items, from, where, grouping, groupBy, having, windows }
}

function parseItem(c: Cursor): ItemNode {
  const start = c.peek()
  if (c.takeSymbol('*')) return { kind: 'star', table: null, at: positionOf(start) }
  if (c.isName() && c.isSymbol('.', 1) && c.isSymbol('*', 2)) {
    const table = c.next().text
    c.next()
    c.next()
    return { kind: 'star', table, at: positionOf(start) }
  }
  const expr = parseExpr(c)
  const text = c.text.slice(start.start, c.before?.end).replaceAll(/\s+/g, ' ').slice(0, 200)
  const alias = c.take('AS') || c.isName() ? c.name('a name') : null
  return { kind: 'expr', expr, alias, text }
}

function parseFrom(c: Cursor): FromNode {
  let left = parseTable(c)
  for (let joins = 1; ; joins++) {
    const at = positionOf(c.peek())
    if (joins > BOUNDS.tables) throw sqlError(`more than ${BOUNDS.tables} tables`, at)
    if (c.takeSymbol(',')) {
      left = { kind: 'join', at, side: 'CROSS', strictness: '', left, right: parseTable(c), on: null, using: null }
      continue
    }
    const join = parseJoinWords(c)
    if (join === undefined) return left
    const right = parseTable(c)
    let on: ExprNode | null = null
    let using: readonly NameNode[] | null = null
    if (join.side !== 'CROSS') {
      if (c.take('ON')) on = parseExpr(c)
      else if (c.take('USING')) {
        const isOpen = c.takeSymbol('(')
        using = c.list(() => parseName(c))
        if (isOpen) c.expectSymbol(')')
      } else throw c.unexpected('ON or USING')
    }
    left = { kind: 'join', at, ...join, left, right, on, using }
  }
}

function parseJoinWords(c: Cursor): Pick<FromNode & { kind: 'join' }, 'side' | 'strictness'> | undefined {
  if (c.take('CROSS', 'JOIN')) return { side: 'CROSS', strictness: '' }
  if (c.take('JOIN') || c.take('INNER', 'JOIN')) return { side: 'INNER', strictness: '' }
  for (const side of ['LEFT', 'RIGHT', 'FULL'] as const) {
    if (c.take(side, 'JOIN') || c.take(side, 'OUTER', 'JOIN')) return { side, strictness: '' }
    for (const strictness of ['ANY', 'SEMI', 'ANTI'] as const) {
      if (side !== 'FULL' && (c.take(side, strictness, 'JOIN') || c.take(strictness, side, 'JOIN'))) {
        return { side, strictness }
      }
    }
  }
  if (c.take('ANY', 'JOIN') || c.take('INNER', 'ANY', 'JOIN') || c.take('ANY', 'INNER', 'JOIN')) {
    return { side: 'INNER', strictness: 'ANY' }
  }
  return undefined
}

function parseTable(c: Cursor): FromNode {
  const at = positionOf(c.peek())
  if (c.isSymbol('(')) {
    c.next()
    if (!c.startsQuery(0)) {
      const inner = c.inside(() => parseFrom(c))
      c.expectSymbol(')')
      return inner
    }
    const query = c.query()
    return { kind: 'subquery', at, query, alias: parseAlias(c) }
  }
  const name = c.name('a collection or a subquery')
  if (c.isSymbol('(')) throw sqlError('tables are collections and subqueries; there are no table functions', at)
  if (c.isSymbol('.'))
    throw sqlError('a collection has no database before it; a name with a dot stands in backticks', at)
  return { kind: 'table', at, name, alias: parseAlias(c) }
}

const parseAlias = (c: Cursor): string | null => (c.take('AS') || c.isName() ? c.name('a name') : null)

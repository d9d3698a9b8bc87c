import type { CallNode, ExprNode, FrameBound, NameNode, OrderNode, WindowNode } from './ast.ts'
import { BOUNDS } from './bounds.ts'
import { type Cursor, positionOf } from './cursor.ts'
import { type Position, shown, sqlError } from './position.ts'

const COMPARISONS: Readonly<Record<string, string>> = {
  '=': 'equals', '==': 'equals', '!=': 'notEquals', '<>': 'notEquals',
  '<': 'less', '<=': 'lessOrEquals', '>': 'greater', '>=': 'greaterOrEquals',
} // biome-ignore format: a table
const SUMS: Readonly<Record<string, string>> = { '+': 'plus', '-': 'minus', '||': 'concat' }
const PRODUCTS: Readonly<Record<string, string>> = { '*': 'multiply', '/': 'divide', '%': 'modulo' }

const operator = (name: string, at: Position, ...args: ExprNode[]): ExprNode => ({
  kind: 'operator',
  at: positionOf(at),
  name,
  args,
})

export const parseExpr = (c: Cursor): ExprNode => c.inside(() => parseOr(c))

function parseOr(c: Cursor): ExprNode {
  const parts = [parseAnd(c)]
  while (c.take('OR')) parts.push(parseAnd(c))
  return joined('or', parts)
}

function parseAnd(c: Cursor): ExprNode {
  const parts = [parseNot(c)]
  while (c.take('AND')) parts.push(parseNot(c))
  return joined('and', parts)
}

function joined(name: string, parts: readonly ExprNode[]): ExprNode {
  const [first, ...others] = parts
  if (first === undefined) throw new Error('nothing to join')
  return others.length === 0 ? first : operator(name, first.at, first, ...others)
}

function parseNot(c: Cursor): ExprNode {
  const at = c.peek()
  return c.take('NOT')
    ? operator(
        'not',
        at,
        c.inside(() => parseNot(c)),
      )
    : parseComparison(c)
}

function parseComparison(c: Cursor): ExprNode {
  let left = parseSum(c)
  for (;;) {
    const at = c.peek()
    const comparison = at.kind === 'symbol' ? COMPARISONS[at.text] : undefined
    if (comparison !== undefined) {
      c.next()
      left = operator(comparison, at, left, parseSum(c))
      continue
    }
    if (c.take('IS')) {
      const isNot = c.take('NOT')
      if (c.take('DISTINCT', 'FROM')) {
        const same = operator('isNotDistinctFrom', at, left, parseSum(c))
        left = isNot ? same : operator('not', at, same)
      } else {
        c.expect('NULL')
        left = operator(isNot ? 'isNotNull' : 'isNull', at, left)
      }
      continue
    }
    const isNot = c.isWord('NOT') && ['IN', 'LIKE', 'ILIKE', 'BETWEEN'].some((word) => c.isWord(word, 1))
    if (isNot) c.next()
    if (c.take('IN')) left = parseIn(c, left, isNot, at)
    else if (c.take('LIKE')) left = operator(isNot ? 'notLike' : 'like', at, left, parseSum(c))
    else if (c.take('ILIKE')) left = operator(isNot ? 'notILike' : 'ilike', at, left, parseSum(c))
    else if (c.take('BETWEEN')) {
      const low = parseSum(c)
      c.expect('AND')
      const high = parseSum(c)
      const between = operator(
        'and',
        at,
        operator('greaterOrEquals', at, left, low),
        operator('lessOrEquals', at, left, high),
      )
      left = isNot ? operator('not', at, between) : between
    } else return left
  }
}

function parseIn(c: Cursor, left: ExprNode, isNot: boolean, at: Position): ExprNode {
  const node = { kind: 'in', at: positionOf(at), isNot, left } as const
  if (!c.isSymbol('(')) return { ...node, right: parsePrimary(c) }
  if (c.startsQuery(1)) {
    c.next()
    const query = c.query()
    return { ...node, right: query }
  }
  c.next()
  const right = c.list(() => parseExpr(c))
  c.expectSymbol(')')
  return { ...node, right }
}

function parseChain(c: Cursor, operators: Readonly<Record<string, string>>, operand: () => ExprNode): ExprNode {
  let left = operand()
  for (let length = 0; ; length++) {
    const at = c.peek()
    const name = at.kind === 'symbol' ? operators[at.text] : undefined
    if (name === undefined) return left
    if (length >= 4 * BOUNDS.depth) throw sqlError('too long a chain of signs: put parts of it in subqueries', at)
    c.next()
    left = operator(name, at, left, operand())
  }
}

const parseSum = (c: Cursor): ExprNode => parseChain(c, SUMS, () => parseProduct(c))
const parseProduct = (c: Cursor): ExprNode => parseChain(c, PRODUCTS, () => parseUnary(c))

function parseUnary(c: Cursor): ExprNode {
  const at = c.peek()
  if (c.takeSymbol('+')) return c.inside(() => parseUnary(c))
  if (!c.takeSymbol('-')) return parsePostfix(c)
  const operand = c.inside(() => parseUnary(c))
  const isNumber =
    operand.kind === 'literal' && (typeof operand.value === 'number' || typeof operand.value === 'bigint')
  return isNumber ? { ...operand, value: -(operand.value as number) } : operator('negate', at, operand)
}

function parsePostfix(c: Cursor): ExprNode {
  let expr = parsePrimary(c)
  for (let length = 0; length < BOUNDS.depth; length++) {
    const at = positionOf(c.peek())
    if (c.takeSymbol('::')) expr = { kind: 'cast', at, expr, type: parseType(c), isTry: false }
    else if (c.takeSymbol('[')) {
      expr = operator('arrayElement', at, expr, parseExpr(c))
      c.expectSymbol(']')
    } else return expr
  }
  throw sqlError(`nested deeper than ${BOUNDS.depth}`, c.peek())
}

/** A type as it was written, without spaces. */
export function parseType(c: Cursor): string {
  const name = c.isWord('ARRAY') ? c.next().text : c.name('a type')
  if (!c.takeSymbol('(')) return name
  const inner = c.inside(() => parseType(c))
  c.expectSymbol(')')
  return `${name}(${inner})`
}

function parsePrimary(c: Cursor): ExprNode {
  const token = c.peek()
  const at = positionOf(token)
  switch (token.kind) {
    case 'string':
      c.next()
      return { kind: 'literal', at, value: token.text }
    case 'number':
      c.next()
      return { kind: 'literal', at, value: numberOf(token.text) }
    case 'symbol':
      return parseSymbol(c, at)
    case 'word':
      return parseKeyword(c, at) ?? parseNameOrCall(c, at)
    case 'quoted':
      return parseNameOrCall(c, at)
    case 'end':
      throw c.unexpected('an expression')
    default:
      return token.kind satisfies never
  }
}

function numberOf(text: string): number | bigint {
  if (!/^(?:0[xX][0-9a-fA-F]+|\d+)$/.test(text)) return Number(text)
  const whole = BigInt(text)
  return whole <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(whole) : whole < 2n ** 63n ? whole : Number(whole)
}

function parseSymbol(c: Cursor, at: Position): ExprNode {
  if (c.takeSymbol('[')) {
    if (c.takeSymbol(']')) return { kind: 'operator', at, name: 'array', args: [] }
    const args = c.list(() => parseExpr(c))
    c.expectSymbol(']')
    return { kind: 'operator', at, name: 'array', args }
  }
  if (c.takeSymbol('{')) {
    const name = c.word('the name of a parameter')
    c.expectSymbol(':')
    const type = parseType(c)
    c.expectSymbol('}')
    return { kind: 'parameter', at, name, type }
  }
  if (c.takeSymbol(':')) return { kind: 'parameter', at, name: c.word('the name of a parameter'), type: null }
  if (!c.isSymbol('(')) throw c.unexpected('an expression')
  if (c.startsQuery(1)) {
    c.next()
    const query = c.query()
    return { kind: 'subquery', at, query }
  }
  const lambda = lambdaNames(c)
  if (lambda !== undefined) return { kind: 'lambda', at, names: lambda, body: parseExpr(c) }
  c.next()
  const args = c.list(() => parseExpr(c))
  c.expectSymbol(')')
  const [first] = args
  return args.length === 1 && first !== undefined ? first : { kind: 'operator', at, name: 'tuple', args }
}

/** `(x, y) ->`; nothing is taken when it is something else. */
function lambdaNames(c: Cursor): readonly string[] | undefined {
  let ahead = 1
  while (c.isName(ahead) && c.isSymbol(',', ahead + 1)) ahead += 2
  if (!c.isName(ahead) || !c.isSymbol(')', ahead + 1) || !c.isSymbol('->', ahead + 2)) return undefined
  c.next()
  const names = c.list(() => c.name('a name'))
  c.next()
  c.next()
  return names
}

function parseKeyword(c: Cursor, at: Position): ExprNode | undefined {
  if (c.take('NULL')) return { kind: 'literal', at, value: null }
  if (c.take('TRUE')) return { kind: 'literal', at, value: true }
  if (c.take('FALSE')) return { kind: 'literal', at, value: false }
  if (c.take('CASE')) return parseCase(c, at)
  if (c.isSymbol('(', 1)) {
    if (c.isWord('CAST') || c.isWord('TRY_CAST')) return parseCast(c, at)
    if (c.take('EXISTS')) {
      c.next()
      const query = c.query()
      return { kind: 'exists', at, query }
    }
    if (c.take('EXTRACT')) {
      c.next()
      const unit = c.name('a unit of time')
      if (!c.take('FROM')) throw c.unexpected('FROM')
      const from = parseExpr(c)
      c.expectSymbol(')')
      const name = EXTRACTED[unit.toUpperCase()]
      if (name === undefined) throw sqlError(`${shown(unit)} cannot be extracted`, at)
      return operator(name, at, from)
    }
  }
  if (c.take('INTERVAL')) {
    const text = c.peek()
    if (text.kind === 'string') {
      c.next()
      const [, count, unit] = /^\s*(-?\d{1,15})\s+([A-Za-z]+)\s*$/.exec(text.text) ?? []
      if (count !== undefined && unit !== undefined) {
        return { kind: 'interval', at, unit, count: { kind: 'literal', at, value: Number(count) } }
      }
      const whole = /^\s*(-?\d{1,15})\s*$/.exec(text.text)?.[1]
      if (whole === undefined) throw sqlError(`${JSON.stringify(shown(text.text))} is no interval`, text)
      return {
        kind: 'interval',
        at,
        unit: c.name('a unit of time'),
        count: { kind: 'literal', at, value: Number(whole) },
      }
    }
    const count = parseUnary(c)
    return { kind: 'interval', at, unit: c.name('a unit of time'), count }
  }
  if ((c.isWord('DATE') || c.isWord('TIMESTAMP')) && c.peek(1).kind === 'string') {
    const type = c.next().text
    return { kind: 'cast', at, expr: { kind: 'literal', at, value: c.next().text }, type, isTry: false }
  }
  return undefined
}

const EXTRACTED: Readonly<Record<string, string>> = {
  YEAR: 'toYear', QUARTER: 'toQuarter', MONTH: 'toMonth', WEEK: 'toISOWeek', DAY: 'toDayOfMonth', DOY: 'toDayOfYear',
  DOW: 'toDayOfWeek', HOUR: 'toHour', MINUTE: 'toMinute', SECOND: 'toSecond', EPOCH: 'toUnixTimestamp',
} // biome-ignore format: a table

function parseCast(c: Cursor, at: Position): ExprNode {
  const isTry = c.next().upper === 'TRY_CAST'
  c.expectSymbol('(')
  const expr = parseExpr(c)
  let type: string
  if (c.takeSymbol(',')) {
    const text = c.next()
    if (text.kind !== 'string') throw sqlError('expected a type in quotes', text)
    type = text.text.replaceAll(' ', '')
  } else {
    c.expect('AS')
    type = parseType(c)
  }
  c.expectSymbol(')')
  return { kind: 'cast', at, expr, type, isTry }
}

function parseCase(c: Cursor, at: Position): ExprNode {
  const of = c.isWord('WHEN') ? null : parseExpr(c)
  const branches: { when: ExprNode; value: ExprNode }[] = []
  while (c.take('WHEN')) {
    const when = parseExpr(c)
    c.expect('THEN')
    branches.push({ when, value: parseExpr(c) })
  }
  if (branches.length === 0) throw c.unexpected('WHEN')
  const otherwise = c.take('ELSE') ? parseExpr(c) : null
  c.expect('END')
  return { kind: 'case', at, of, branches, otherwise }
}

/** Functions whose names are words with a meaning of their own. */
const CALLED_WORDS = new Set(['ANY', 'LEFT', 'RIGHT', 'ARRAY'])

function parseNameOrCall(c: Cursor, at: Position): ExprNode {
  const token = c.peek()
  const isCalledWord = token.kind === 'word' && CALLED_WORDS.has(token.upper) && c.isSymbol('(', 1)
  if (!isCalledWord && c.isName() && c.isSymbol('->', 1)) {
    const name = c.next().text
    c.next()
    return { kind: 'lambda', at, names: [name], body: parseExpr(c) }
  }
  if (!isCalledWord && !c.isName()) throw c.unexpected('an expression')
  if (token.kind === 'word' && c.isSymbol('(', 1)) return parseCall(c, at)
  if (c.isSymbol('(', 1)) throw sqlError('a function is called by its name without quotes', at)
  return parseName(c)
}

export function parseName(c: Cursor): NameNode {
  const at = positionOf(c.peek())
  const segments = [c.name('a name')]
  while (c.isSymbol('.') && !c.isSymbol('*', 1)) {
    c.next()
    const token = c.next()
    if (token.kind !== 'word' && token.kind !== 'quoted') throw sqlError('expected a name behind the dot', token)
    segments.push(token.text)
    if (segments.length > BOUNDS.pathNames) throw sqlError(`a path of more than ${BOUNDS.pathNames} names`, at)
  }
  return { kind: 'name', at, segments }
}

function parseCall(c: Cursor, at: Position): CallNode {
  const name = c.next().text
  c.next()
  let call = parseArguments(c)
  let parameters: readonly ExprNode[] | null = null
  if (c.takeSymbol('(')) {
    if (call.isStar || call.isDistinct) throw sqlError('parameters of a function are numbers or texts', at)
    parameters = call.args
    call = parseArguments(c)
  }
  let filter: ExprNode | null = null
  if (c.isWord('FILTER') && c.isSymbol('(', 1)) {
    c.next()
    c.next()
    c.expect('WHERE')
    filter = parseExpr(c)
    c.expectSymbol(')')
  }
  let over: WindowNode | string | null = null
  if (c.take('OVER')) over = c.isSymbol('(') ? parseWindow(c) : c.name('the name of a window')
  return { kind: 'call', at, name, parameters, ...call, filter, over }
}

/** What stands between the parentheses, of which the first is behind. */
function parseArguments(c: Cursor): Pick<CallNode, 'args' | 'isDistinct' | 'isStar'> {
  if (c.takeSymbol(')')) return { args: [], isDistinct: false, isStar: false }
  if (c.isSymbol('*') && c.isSymbol(')', 1)) {
    c.next()
    c.next()
    return { args: [], isDistinct: false, isStar: true }
  }
  const isDistinct = c.take('DISTINCT')
  const args = c.list(() => parseExpr(c))
  c.expectSymbol(')')
  return { args, isDistinct, isStar: false }
}

export function parseOrder(c: Cursor): readonly OrderNode[] {
  return c.list(() => {
    const expr = parseExpr(c)
    const direction = c.take('DESC') ? 'DESC' : 'ASC'
    if (direction === 'ASC') c.take('ASC')
    const nulls = c.take('NULLS', 'FIRST') ? 'FIRST' : c.take('NULLS', 'LAST') ? 'LAST' : null
    return { expr, direction, nulls } as const
  })
}

/** `(PARTITION BY … ORDER BY … ROWS …)`. */
export function parseWindow(c: Cursor): WindowNode {
  const at = positionOf(c.peek())
  c.expectSymbol('(')
  const isClause = c.isWord('PARTITION') || c.isWord('ROWS') || c.isWord('RANGE')
  const base = c.isName() && !isClause ? c.name('a window') : null
  const partitionBy = c.take('PARTITION', 'BY') ? c.list(() => parseExpr(c)) : []
  const orderBy = c.take('ORDER', 'BY') ? parseOrder(c) : []
  let frame: WindowNode['frame'] = null
  if (c.isWord('ROWS') || c.isWord('RANGE')) {
    const unit = c.next().upper === 'ROWS' ? 'ROWS' : 'RANGE'
    if (c.take('BETWEEN')) {
      const start = parseBound(c)
      c.expect('AND')
      frame = { unit, start, end: parseBound(c) }
    } else frame = { unit, start: parseBound(c), end: { kind: 'current' } }
  }
  c.expectSymbol(')')
  return { at, base, partitionBy, orderBy, frame }
}

function parseBound(c: Cursor): FrameBound {
  if (c.take('CURRENT', 'ROW')) return { kind: 'current' }
  const isUnbounded = c.take('UNBOUNDED')
  let count = 0
  if (!isUnbounded) {
    const token = c.next()
    count = token.kind === 'number' && /^\d{1,9}$/.test(token.text) ? Number(token.text) : -1
    if (count < 0) throw sqlError('expected a whole number of rows', token)
  }
  const direction = c.take('PRECEDING') ? 'PRECEDING' : c.take('FOLLOWING') ? 'FOLLOWING' : undefined
  if (direction === undefined) throw c.unexpected('PRECEDING or FOLLOWING')
  return { kind: isUnbounded ? 'unbounded' : 'offset', direction, count }
}

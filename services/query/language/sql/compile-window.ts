import type { FrameBound, OrderNode, WindowNode } from './ast.ts'
import { shown, sqlError } from './position.ts'
import { combine, type Place, type Scope, type State, type Value } from './state.ts'

export function compileOrder(nodes: readonly OrderNode[], scope: Scope, where: Place, state: State): readonly Value[] {
  return nodes.map(({ expr, direction, nulls }) => {
    const value = state.compile(expr, scope, where)
    return { ...value, sql: `${value.sql} ${direction}${nulls === null ? '' : ` NULLS ${nulls}`}` }
  })
}

/** What stands in the parentheses behind OVER. */
export function compileWindow(window: WindowNode, scope: Scope, where: Place, state: State): Value {
  const inside = { ...where, allowsWindows: false }
  const partition = window.partitionBy.map((expr) => state.compile(expr, scope, inside))
  const order = compileOrder(window.orderBy, scope, inside, state)
  const parts: string[] = []
  if (window.base !== null) {
    const base = scope.windows.get(window.base)
    if (base === undefined) throw sqlError(`there is no window ${shown(window.base)}`, window.at)
    if (partition.length > 0) throw sqlError('a window on another one has no PARTITION BY of its own', window.at)
    parts.push(base)
  }
  if (partition.length > 0) parts.push(`PARTITION BY ${partition.map(({ sql }) => sql).join(', ')}`)
  if (order.length > 0) parts.push(`ORDER BY ${order.map(({ sql }) => sql).join(', ')}`)
  if (window.frame !== null) {
    const { unit, start, end } = window.frame
    parts.push(`${unit} BETWEEN ${boundText(start)} AND ${boundText(end)}`)
  }
  return combine([...partition, ...order], () => parts.join(' '))
}

const boundText = (bound: FrameBound): string => {
  if (bound.kind === 'current') return 'CURRENT ROW'
  return `${bound.kind === 'unbounded' ? 'UNBOUNDED' : Math.trunc(bound.count)} ${bound.direction}`
}

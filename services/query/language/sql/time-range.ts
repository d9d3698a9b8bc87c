import { parseDateTime } from '../../../shared/filters/datetime.ts'
import type { ExprNode, FromNode, NameNode } from './ast.ts'
import type { ParameterValues } from './parameter-values.ts'
import type { Relation } from './relations.ts'
import type { Scope } from './state.ts'

const MIRRORED: Readonly<Record<string, string>> = {
  less: 'greater', lessOrEquals: 'greaterOrEquals', greater: 'less', greaterOrEquals: 'lessOrEquals', equals: 'equals',
} // biome-ignore format: a table

/**
 * Tells the tables of a FROM which times its WHERE leaves of them, where that is plain to see: comparisons of `timestamp`
 * with constants, joined by AND. The WHERE stays as it is; this is for not reading what it would drop.
 */
export function narrowTimes(where: ExprNode, from: FromNode, scope: Scope, parameters: ParameterValues): void {
  if (hasStrictness(from)) return
  for (const { name, operator, ms } of comparisons(where, parameters)) {
    const relation = relationOf(name, scope)
    if (operator === 'greater' || operator === 'greaterOrEquals' || operator === 'equals') {
      relation?.narrow?.({ fromMs: ms })
    }
    if (operator === 'less') relation?.narrow?.({ beforeMs: ms })
    // To the millisecond is all that a timestamp has.
    if (operator === 'lessOrEquals' || operator === 'equals') relation?.narrow?.({ beforeMs: ms + 1 })
  }
}

/** What SEMI and ANTI leave of a side depends on rows that are not there. */
const hasStrictness = (node: FromNode): boolean =>
  node.kind === 'join' && (node.strictness !== '' || hasStrictness(node.left) || hasStrictness(node.right))

function* comparisons(
  node: ExprNode,
  parameters: ParameterValues,
): Generator<{ name: NameNode; operator: string; ms: number }> {
  if (node.kind !== 'operator') return
  if (node.name === 'and') {
    for (const arg of node.args) yield* comparisons(arg, parameters)
    return
  }
  const [left, right] = node.args
  const mirrored = MIRRORED[node.name]
  if (mirrored === undefined || left === undefined || right === undefined) return
  const name = left.kind === 'name' ? left : right
  const ms = constantMs(left.kind === 'name' ? right : left, parameters)
  if (name.kind === 'name' && ms !== undefined) yield { name, operator: name === left ? node.name : mirrored, ms }
}

function constantMs(node: ExprNode, parameters: ParameterValues): number | undefined {
  const value = node.kind === 'literal' ? node.value : node.kind === 'parameter' ? parameters.get(node.name) : undefined
  if (node.kind === 'cast')
    return /^(?:timestamp|date)/i.test(node.type) ? constantMs(node.expr, parameters) : undefined
  return typeof value === 'string' ? parseDateTime(value.trim())?.epochMs : undefined
}

/** The table whose `timestamp` the name means. */
function relationOf({ segments }: NameNode, { relations, merged }: Scope): Relation | undefined {
  const path = segments.join('.')
  const isTime = (name: string): boolean => name === 'timestamp' || name === 'keen.timestamp'
  const table = segments.length > 1 ? relations.find(({ name }) => name === segments[0]) : undefined
  if (table !== undefined) return isTime(segments.slice(1).join('.')) ? table : undefined
  return relations.length === 1 && isTime(path) && !merged.has(path) ? relations[0] : undefined
}

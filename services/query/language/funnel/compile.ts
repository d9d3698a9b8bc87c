import type { Grant } from '../../../shared/registry/grant.ts'
import { type Binder, createBinder } from '../bind.ts'
import { createColumnList } from '../columns.ts'
import type { SeenTypesIn } from '../compile.ts'
import { compileFilters } from '../filters.ts'
import { eventsSource } from '../source.ts'
import { resolveTimeframe } from '../timeframe.ts'
import type { FunnelNode, FunnelStep } from '../tree.ts'
import { keysOf } from '../values.ts'
import { ACTORS_MAX, type FunnelShape } from './shape.ts'

/**
 * One row: how many actors each step keeps, and of those who asked for them, the actors. The events of all steps are read
 * once (steps alike in collection, actor, timeframe share their reading), each with the steps it is of as bits of a mask, and
 * grouped by actor; an actor's mask, or in order its moments, then says which steps it came through.
 */
export function compileFunnel(node: FunnelNode, grant: Grant, nowMs: number, seen?: SeenTypesIn) {
  const binder = createBinder()
  const placed = readingsOf(node.steps)
  const moments = node.order === null ? '' : ', toUnixTimestamp64Milli(t) AS at, e'
  const readings = placed.map((steps) => reading(steps, grant, nowMs, moments, binder, seen)).join('\nUNION ALL\n')
  // An event that two readings meet is one event still.
  const isMetTwice = node.order !== null && new Set(node.steps.map(({ collection }) => collection)).size < placed.length
  const events = isMetTwice
    ? `SELECT k, groupBitOr(b) AS m, any(moment) AS at\nFROM (SELECT k, m AS b, at AS moment, e FROM (\n${readings}\n))\nGROUP BY k, e`
    : readings
  const { perActor, kept } = node.order === null ? byMembership(node.steps) : inOrder(node.steps, node.order, binder)
  const columns = kept.flatMap((condition, i) => [
    `countIf(${condition}) AS n${i}`,
    // One more than may be had, to see that there is one.
    ...(node.steps[i]?.withActors === true ? [`groupArrayIf(${ACTORS_MAX + 1})(k, ${condition}) AS a${i}`] : []),
  ])
  const sql = [
    `SELECT ${columns.join(', ')}`,
    `FROM (`,
    `SELECT k, ${perActor}`,
    `FROM (`,
    events,
    `)`,
    `GROUP BY k`,
    `)`,
  ].join('\n')
  const shape: FunnelShape = { kind: 'funnel', steps: node.steps }
  return { sql, params: binder.params, shape }
}

interface PlacedStep {
  readonly step: FunnelStep
  readonly place: number
}

/** Steps that look at the same events of the same actors. */
function readingsOf(steps: readonly FunnelStep[]): readonly (readonly PlacedStep[])[] {
  const readings = Map.groupBy(
    steps.map((step, place) => ({ step, place })),
    ({ step }) => JSON.stringify([step.collection, step.actor.name, step.timeframe, step.zone]),
  )
  return [...readings.values()]
}

function reading(
  steps: readonly PlacedStep[],
  grant: Grant,
  nowMs: number,
  moments: string,
  binder: Binder,
  seen: SeenTypesIn | undefined,
): string {
  const step = steps[0]?.step
  if (step === undefined) throw new Error('a reading has a step')
  const columns = createColumnList(binder, 'c', seen?.(step.collection))
  const actors = keysOf(columns.columnOf(step.actor))
  const bits = steps.map(({ step: { filters }, place }) => {
    const condition = compileFilters(filters, columns.columnOf, binder)
    const bit = (2n ** BigInt(place)).toString()
    return condition === 'true' ? `toUInt64(${bit})` : `if(${condition}, toUInt64(${bit}), 0)`
  })
  const timeframe = resolveTimeframe(step.timeframe, step.zone, nowMs)
  const scope = { collection: step.collection, timeframe }
  const source = eventsSource(
    grant,
    scope,
    [...(moments === '' ? [] : ['timestamp AS t', 'id AS e']), ...columns.selected()],
    binder,
  )
  return `SELECT arrayJoin(${actors}) AS k, ${bits.join(' + ')} AS m${moments}\nFROM ${source}\nWHERE m != 0`
}

/** Whether an actor has done each step, whenever; steps after an optional one are measured against the one before it. */
function byMembership(steps: readonly FunnelStep[]) {
  const kept: string[] = []
  let base = 'true'
  for (const [place, step] of steps.entries()) {
    const done = `bitTest(mask, ${place})`
    const condition = `(${base} AND ${step.isInverted ? 'NOT ' : ''}${done})`
    kept.push(condition)
    if (!step.isOptional) base = condition
  }
  return { perActor: 'groupBitOr(m) AS mask', kept }
}

/** Not a moment: before every event. */
const NEVER = '-9223372036854775808'

/**
 * An actor's events in the order of time; of one moment, those of an earlier step first. `reached[i]` is the latest
 * beginning from which step i was reached: of two ways to a step, the one that began later reaches all that the other does
 * within a window. An event moves every step by what was known before it, so that it is never two steps at once.
 */
function inOrder(steps: readonly FunnelStep[], order: NonNullable<FunnelNode['order']>, binder: Binder) {
  const within = order.windowMs === null ? '' : ` AND e.1 - reached[i - 1] <= ${binder.bind(order.windowMs, 'Int64')}`
  const next = [
    'arrayMap(i -> multiIf(',
    `NOT bitTest(e.2, i - 1), reached[i], i = 1, e.1, reached[i - 1] != ${NEVER}${within}, `,
    `greatest(reached[i], reached[i - 1]), reached[i]), range(1, ${steps.length + 1}))`,
  ].join('')
  const start = `arrayWithConstant(${steps.length}, toInt64(${NEVER}))`
  const perActor = `arrayFold(reached, e -> ${next}, arraySort(groupArray((at, m))), ${start}) AS reached`
  return { perActor, kept: steps.map((_, place) => `(reached[${place + 1}] != ${NEVER})`) }
}

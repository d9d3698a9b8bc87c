import { AppError } from '../../../shared/errors.ts'
import { parseFilters } from '../../../shared/filters/parse.ts'
import { parseProperty } from '../../../shared/filters/property.ts'
import { type Fields, parseCollection, parseFlag, requiredField } from '../parse-aggregate.ts'
import { parseTimeframe } from '../timeframe.ts'
import type { FunnelNode, FunnelStep } from '../tree.ts'
import { parseZone } from '../zone.ts'

const STEPS_MAX = 50
const WINDOW_S_MAX = 100 * 366 * 86_400

/** `steps`, with what the root of the request says for all of them. Throws AppErrors whose messages name the step. */
export function parseFunnel(root: Fields): FunnelNode & { readonly steps: readonly [FunnelStep, ...FunnelStep[]] } {
  const value = requiredField(root['steps'], 'steps')
  if (!Array.isArray(value) || value.length === 0 || value.length > STEPS_MAX) {
    throw invalid(`steps must be an array of 1 to ${STEPS_MAX} steps`)
  }
  const [first, ...others] = value.map((step: unknown, i) => parseStep(step, `steps[${i}]`, root))
  if (first === undefined) throw invalid('steps must not be empty')
  for (const flag of ['inverted', 'optional'] as const) {
    if (first.asked[flag] === true) throw invalid(`steps[0].${flag} must be false: all others follow the first step`)
  }
  const order = parseOrder(root)
  const odd = others.findIndex((step) => step.isInverted || step.isOptional)
  if (order !== null && odd !== -1) {
    throw invalid(`steps[${odd + 1}] must be neither inverted nor optional: ordered is true`)
  }
  return { kind: 'funnel', steps: [first, ...others], order }
}

function parseOrder(root: Fields): FunnelNode['order'] {
  const window = root['window']
  const isOrdered = parseFlag(root['ordered'], 'ordered', false)
  if (window === undefined || window === null || window === '') return isOrdered ? { windowMs: null } : null
  if (!isOrdered) throw invalid('window needs ordered to be true')
  if (typeof window !== 'number' || !(window > 0 && window <= WINDOW_S_MAX)) {
    throw invalid('window must be a number of seconds above zero')
  }
  return { windowMs: Math.round(window * 1_000) }
}

function parseStep(value: unknown, at: string, root: Fields): FunnelStep {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${at} must be an object`)
  const step = value as Fields
  const own = (name: string): unknown => {
    const given = step[name]
    return given === undefined || given === null || given === '' ? undefined : given
  }
  const inherited = (name: string): unknown => own(name) ?? (root[name] === '' ? undefined : (root[name] ?? undefined))
  const timeframe = requiredField(inherited('timeframe'), `${at}.timeframe`)
  const timezone = inherited('timezone')
  const filters = own('filters') ?? []
  const flag = (name: string): boolean => parseFlag(step[name], `${at}.${name}`, false)
  const collection = parseCollection(step['event_collection'], `${at}.event_collection`)
  const actor = parseProperty(requiredField(step['actor_property'], `${at}.actor_property`), `${at}.actor_property`)
  const [isInverted, isOptional, withActors] = [flag('inverted'), flag('optional'), flag('with_actors')]
  return {
    collection,
    actor,
    timeframe: parseTimeframe(timeframe),
    zone: parseZone(timezone),
    filters: parseFilters(filters, `${at}.filters`),
    isInverted,
    isOptional,
    withActors,
    asked: {
      event_collection: collection,
      actor_property: actor.name,
      timeframe,
      timezone: timezone ?? null,
      filters,
      inverted: isInverted,
      optional: isOptional,
      with_actors: withActors,
    },
  }
}

const invalid = (problem: string): AppError => new AppError('InvalidRequestFieldError', `${problem}.`)

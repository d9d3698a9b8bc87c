import * as fc from 'fast-check'
import type { FilterFields, GroupFields, Json, MeasureFields, QueryFields, StepFields } from './model.ts'

/** Names that collide in every way: parents that are sometimes values, and names that ClickHouse's identifiers must not misread. */
export const PATHS = [
  'n',
  's',
  'mixed',
  'tags',
  'u',
  'u.id',
  'u.plan.name',
  "it's",
  'quo"te',
  'back`tick',
  'back\\slash',
  'nul\0',
  '^caret',
  ':`Int64`',
  'list[]',
  'é☃😀',
  'u.^x',
  'u.:Int64',
  '__proto__',
  'e.',
  'missing',
] as const

const number = fc.constantFrom(-3, -1, -0, 0, 1, 2, 2.5, 7.25, 10, 1000, 0.5)
const text = fc.constantFrom(
  '',
  'x',
  'X',
  'xy',
  '1',
  'true',
  'é',
  '😀',
  'a b',
  'q\'\\`"',
  'nul\0',
  '\u0001',
  "\u0001['x']",
  'x\ny',
  '2026-01-05',
)
const scalar: fc.Arbitrary<Json> = fc.oneof(number, text, fc.boolean())
const element: fc.Arbitrary<Json> = fc.oneof(
  { weight: 8, arbitrary: scalar },
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constantFrom<Json>([1], { x: 1 }, [], {}) },
)
const list: fc.Arbitrary<Json> = fc.oneof(
  fc.array(number, { maxLength: 4 }),
  fc.array(text, { maxLength: 4 }),
  fc.array(fc.boolean(), { maxLength: 3 }),
  fc.array(element, { maxLength: 5 }),
)
const value: fc.Arbitrary<Json> = fc.oneof(
  { weight: 10, arbitrary: scalar },
  { weight: 3, arbitrary: list },
  { weight: 1, arbitrary: fc.constantFrom<Json>(null, {}, { deep: { er: null } }, { deep: { er: 1 } }) },
)

const coordinates = fc.constantFrom<Json>([13.4, 52.5], [2, 48], [2, 48.5], [-122, 37], [0, 0], [1], ['2', '48'], null)

function put(into: Record<string, Json>, path: string, leaf: Json): void {
  const names = path.split('.')
  let at = into
  for (const name of names.slice(0, -1)) {
    const inner = Object.hasOwn(at, name) ? at[name] : undefined
    const next: Record<string, Json> =
      typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? (inner as Record<string, Json>) : {}
    Object.defineProperty(at, name, { value: next, enumerable: true, configurable: true, writable: true })
    at = next
  }
  const last = names.at(-1) ?? ''
  Object.defineProperty(at, last, { value: leaf, enumerable: true, configurable: true, writable: true })
}

/** An event's body: some of the paths with values of any kind, sometimes a place on earth. */
export const bodyArbitrary: fc.Arbitrary<{ readonly [name: string]: Json }> = fc
  .record({
    leaves: fc.array(fc.tuple(fc.constantFrom(...PATHS.filter((path) => path !== 'missing')), value), { maxLength: 9 }),
    place: fc.option(coordinates, { nil: undefined }),
  })
  .map(({ leaves, place }) => {
    const body: Record<string, Json> = {}
    for (const [path, leaf] of leaves) put(body, path, structuredClone(leaf))
    if (place !== undefined) put(body, 'keen.location.coordinates', place)
    return body
  })

export const START_MS = Date.UTC(2026, 0, 1)
export const DAYS = 40
const MINUTE_MS = 60_000

export const momentArbitrary = fc.oneof(
  fc.integer({ min: 0, max: DAYS * 1_440 * MINUTE_MS }).map((ms) => START_MS + ms),
  // On the edges of buckets and timeframes, and just before.
  fc
    .tuple(fc.integer({ min: 0, max: DAYS * 24 }), fc.constantFrom(0, -1))
    .map(([hour, ms]) => START_MS + hour * 3_600_000 + ms),
)

const path = fc.constantFrom(...PATHS)
const keenPath = fc.constantFrom('keen.timestamp', 'keen.created_at', 'keen.id')

const momentText = fc
  .integer({ min: 0, max: DAYS * 24 })
  .map((hour) => new Date(START_MS + hour * 3_600_000).toISOString())

const simpleFilter: fc.Arbitrary<FilterFields> = fc.oneof(
  fc.record({
    operator: fc.constantFrom('eq', 'ne'),
    property_name: path,
    property_value: fc.oneof(scalar, scalar, fc.constant(null)),
  }),
  fc.record({
    operator: fc.constantFrom('lt', 'lte', 'gt', 'gte'),
    property_name: path,
    property_value: fc.oneof(number, text),
  }),
  fc.record({ operator: fc.constant('exists'), property_name: fc.oneof(path, keenPath), property_value: fc.boolean() }),
  fc.record({ operator: fc.constant('in'), property_name: path, property_value: fc.array(scalar, { maxLength: 4 }) }),
  fc.record({ operator: fc.constantFrom('contains', 'not_contains'), property_name: path, property_value: text }),
  fc.record({
    operator: fc.constant('regex'),
    property_name: path,
    property_value: fc.constantFrom('x', '^x', 'y$', '^.$', '[0-9]+', '', 'a|é', 'x.y'),
  }),
  fc.record({
    operator: fc.constantFrom('lt', 'lte', 'gt', 'gte', 'eq', 'ne'),
    property_name: fc.constantFrom('keen.timestamp', 'keen.created_at'),
    property_value: momentText,
  }),
)

const withinFilter: fc.Arbitrary<FilterFields> = fc.record({
  operator: fc.constant('within'),
  property_name: fc.constant('keen.location.coordinates'),
  property_value: fc.record({
    coordinates: fc.constantFrom([13, 52], [2.2, 48.8], [0, 0]),
    max_distance_miles: fc.constantFrom(1, 60, 400, 700, 12_000),
  }),
})

const anyFilter = (leaf: fc.Arbitrary<FilterFields>): fc.Arbitrary<FilterFields> =>
  fc.oneof(
    { weight: 4, arbitrary: leaf },
    {
      weight: 1,
      arbitrary: fc.record({
        operator: fc.constantFrom('or', 'and'),
        operands: fc.array(leaf, { minLength: 1, maxLength: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        operator: fc.constant('or'),
        operands: fc.tuple(
          leaf,
          fc.record({
            operator: fc.constantFrom('and', 'or'),
            operands: fc.array(leaf, { minLength: 1, maxLength: 2 }),
          }),
        ),
      }),
    },
  )

/** Filters that keep some events and drop others, often enough to matter. */
export const filtersArbitrary = fc.array(anyFilter(simpleFilter), { minLength: 1, maxLength: 2 })
const placeFilters = fc.array(anyFilter(fc.oneof(simpleFilter, withinFilter)), { maxLength: 2 })

const groupArbitrary: fc.Arbitrary<GroupFields> = fc.oneof(
  { weight: 5, arbitrary: fc.oneof(path, path, keenPath) },
  {
    weight: 1,
    arbitrary: fc.record({ property_name: path, buckets: fc.record({ size: fc.constantFrom(1, 2, 10, 0.5) }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      property_name: path,
      ranges: fc.constantFrom(
        [{ from: 0, to: 2 }, { from: 2 }],
        [{ to: 1 }],
        [
          { from: -5, to: 10 },
          { from: 0, to: 20 },
        ],
      ),
    }),
  },
)

const OFFSETS = ['Z', 'Z', '+00:00', '+05:30', '-08:00', '']
const timeframe = fc
  .tuple(
    fc.integer({ min: 0, max: DAYS * 24 - 1 }),
    fc.integer({ min: 1, max: DAYS * 24 }),
    fc.constantFrom(...OFFSETS),
  )
  .map(([from, hours, offset]) => {
    const print = (ms: number): string => {
      const [, sign, hour = '0', minute = '0'] = /([+-])(\d\d):(\d\d)/.exec(offset) ?? []
      const shift = (sign === '-' ? -1 : 1) * (Number(hour) * 60 + Number(minute)) * MINUTE_MS
      return new Date(ms + shift).toISOString().replace('Z', offset === '' ? 'Z' : offset)
    }
    const start = START_MS + from * 3_600_000
    return { start: print(start), end: print(start + hours * 3_600_000) }
  })

const interval = fc.option(
  fc.constantFrom(
    'hourly',
    'daily',
    'weekly',
    'monthly',
    'every_5_hours',
    'every_2_days',
    'every_3_weeks',
    'every_1_month',
    'every_720_minutes',
  ),
  { nil: undefined },
)

const AGGREGATES = [
  'count',
  'count_unique',
  'minimum',
  'maximum',
  'sum',
  'average',
  'median',
  'percentile',
  'standard_deviation',
  'select_unique',
] as const

const extraction = fc.record({
  analysis: fc.constant('extraction' as const),
  fields: fc.record(
    {
      timeframe,
      filters: placeFilters,
      latest: fc.integer({ min: 1, max: 8 }),
      property_names: fc.uniqueArray(fc.oneof(path, keenPath), { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ['timeframe'] },
  ),
})

const nameOf = (group: GroupFields): string => (typeof group === 'string' ? group : group.property_name)

const aggregation = fc
  .record({
    analysis: fc.constantFrom(...AGGREGATES),
    timeframe,
    target_property: fc.oneof({ weight: 9, arbitrary: path }, { weight: 1, arbitrary: keenPath }),
    percentile: fc.constantFrom(0, 0.01, 10, 25, 50, 66.67, 99.99, 100),
    filters: placeFilters,
    interval,
    groups: fc.oneof(
      fc.constant<GroupFields[]>([]),
      fc.uniqueArray(groupArbitrary, { minLength: 1, maxLength: 3, selector: nameOf }),
    ),
    direction: fc.constantFrom('ASC', 'DESC'),
    order: fc.constantFrom('none', 'result', 'group'),
    limit: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    zero_fill: fc.boolean(),
  })
  .map((drawn) => {
    const { groups } = drawn
    const hasPlace = JSON.stringify(drawn.filters).includes('"within"')
    const isGrouped = groups.length > 0 && !hasPlace
    // Two sums of squares that differ in the last bit must not decide an order.
    const order = drawn.order === 'result' && drawn.analysis === 'standard_deviation' ? 'group' : drawn.order
    const orderName = order === 'group' && groups[0] !== undefined ? nameOf(groups[0]) : 'result'
    const fields: QueryFields = {
      timeframe: drawn.timeframe,
      filters: drawn.filters,
      zero_fill: drawn.zero_fill,
      ...(drawn.interval === undefined ? {} : { interval: drawn.interval }),
      ...(drawn.analysis === 'count' ? {} : { target_property: drawn.target_property }),
      ...(drawn.analysis === 'percentile' ? { percentile: drawn.percentile } : {}),
      ...(isGrouped ? { group_by: groups } : {}),
      ...(isGrouped && order !== 'none'
        ? { order_by: [{ property_name: orderName, direction: drawn.direction }] }
        : {}),
      ...(isGrouped && order !== 'none' && drawn.limit !== undefined ? { limit: drawn.limit } : {}),
    }
    return { analysis: drawn.analysis, fields }
  })

const measure: fc.Arbitrary<MeasureFields> = fc
  .record({
    analysis_type: fc.constantFrom(...AGGREGATES),
    target_property: path,
    percentile: fc.constantFrom(0, 50, 99.99),
  })
  .map(({ analysis_type, target_property, percentile }) => ({
    analysis_type,
    ...(analysis_type === 'count' ? {} : { target_property }),
    ...(analysis_type === 'percentile' ? { percentile } : {}),
  }))
const LABELS = ['a', 'b b', 'it"s', '__proto__', 'result', 'é'] as const

/** Several at once, in the shapes of one: what an aggregation asks for, under labels. */
const multiAnalysis = fc
  .record({
    shape: aggregation,
    drawn: fc.uniqueArray(fc.constantFrom(...LABELS), { minLength: 1, maxLength: 4 }),
    measures: fc.array(measure, { minLength: 4, maxLength: 4 }),
    orderBy: fc.nat(3),
  })
  .map(({ shape, drawn, measures, orderBy }) => {
    // A label may not be the name of a group as well.
    const grouped = new Set((shape.fields.group_by ?? []).map(nameOf))
    const labels =
      drawn.filter((name) => !grouped.has(name)).length > 0 ? drawn.filter((name) => !grouped.has(name)) : ['l']
    const { target_property: _target, percentile: _percentile, order_by, limit, ...fields } = shape.fields
    const analyses = Object.fromEntries(labels.map((label, i) => [label, measures[i] ?? { analysis_type: 'count' }]))
    const [{ property_name, direction } = { property_name: '', direction: '' }] = order_by ?? []
    const label = labels[orderBy % labels.length] ?? ''
    const isByResult = property_name === 'result'
    // Sums of squares that differ in the last bit must not decide an order.
    const isShaky = isByResult && analyses[label]?.analysis_type === 'standard_deviation'
    const order = [{ property_name: isByResult ? label : property_name, direction }]
    return {
      analysis: 'multi_analysis' as const,
      fields: {
        ...fields,
        analyses,
        ...(order_by !== undefined && !isShaky && { order_by: order, ...(limit !== undefined && { limit }) }),
      },
    }
  })

const actorPath = fc.constantFrom('s', 'mixed', 'u.id', 'tags', 'n', 'missing')
const step: fc.Arbitrary<StepFields> = fc.record(
  {
    event_collection: fc.constant('things'),
    actor_property: actorPath,
    timeframe,
    filters: fc.array(anyFilter(simpleFilter), { maxLength: 1 }),
    inverted: fc.boolean(),
    optional: fc.boolean(),
    with_actors: fc.boolean(),
  },
  { requiredKeys: ['event_collection', 'actor_property', 'timeframe'] },
)

/** Steps often share their actor and timeframe, since funnels of nobody prove little. */
const funnel = fc
  .record({
    steps: fc.array(step, { minLength: 1, maxLength: 4 }),
    actor: fc.option(actorPath, { nil: undefined }),
    timeframe: fc.option(timeframe, { nil: undefined }),
    ordered: fc.boolean(),
    window: fc.option(fc.constantFrom(1, 3_600, 86_400, 864_000), { nil: undefined }),
  })
  .map((drawn) => {
    const steps = drawn.steps.map((one, i): StepFields => {
      const { inverted, optional, ...rest } = one
      const shared = {
        ...rest,
        ...(drawn.actor !== undefined && { actor_property: drawn.actor }),
        ...(drawn.timeframe !== undefined && { timeframe: drawn.timeframe }),
      }
      if (i === 0 || drawn.ordered) return shared
      return { ...shared, ...(inverted !== undefined && { inverted }), ...(optional !== undefined && { optional }) }
    })
    const [{ timeframe: ofFirst } = { timeframe: { start: '', end: '' } }] = steps
    const order = drawn.ordered ? { ordered: true, ...(drawn.window !== undefined && { window: drawn.window }) } : {}
    return { analysis: 'funnel' as const, fields: { timeframe: ofFirst, steps, ...order } }
  })

/** A query of any shape that the API takes. */
export const queryArbitrary: fc.Arbitrary<{
  readonly analysis: (typeof AGGREGATES)[number] | 'multi_analysis' | 'funnel' | 'extraction'
  readonly fields: QueryFields
}> = fc.oneof(
  { weight: 5, arbitrary: aggregation },
  { weight: 2, arbitrary: multiAnalysis },
  { weight: 2, arbitrary: funnel },
  { weight: 1, arbitrary: extraction },
)

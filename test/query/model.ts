/**
 * The query language, told again in the plainest way: over an array of events, one at a time, from a request's fields.
 * Shares no code with the compiler; the two must agree on every question.
 */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

export interface ModelEvent {
  readonly timestampMs: number
  readonly createdAtMs: number
  /** As it is shown: 36 characters. */
  readonly id: string
  readonly body: { readonly [name: string]: Json }
}

export interface FilterFields {
  readonly operator: string
  readonly property_name?: string
  readonly property_value?: Json
  readonly operands?: readonly FilterFields[]
}

export type GroupFields =
  | string
  | { readonly property_name: string; readonly buckets: { readonly size: number } }
  | { readonly property_name: string; readonly ranges: readonly { readonly from?: number; readonly to?: number }[] }

export interface QueryFields {
  readonly target_property?: string
  readonly percentile?: number
  readonly timeframe: { readonly start: string; readonly end: string }
  readonly filters?: readonly FilterFields[]
  readonly interval?: string
  readonly group_by?: readonly GroupFields[]
  readonly order_by?: readonly { readonly property_name: string; readonly direction: string }[]
  readonly limit?: number
  readonly zero_fill?: boolean
  readonly latest?: number
  readonly property_names?: readonly string[]
  readonly analyses?: Readonly<Record<string, MeasureFields>>
  readonly steps?: readonly StepFields[]
  readonly ordered?: boolean
  readonly window?: number
}

export interface MeasureFields {
  readonly analysis_type: string
  readonly target_property?: string
  readonly percentile?: number
}

export interface StepFields {
  readonly event_collection: string
  readonly actor_property: string
  readonly timeframe: { readonly start: string; readonly end: string }
  readonly filters?: readonly FilterFields[]
  readonly inverted?: boolean
  readonly optional?: boolean
  readonly with_actors?: boolean
}

type Scalar = boolean | number | string

const isObject = (value: unknown): value is { readonly [name: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isScalar = (value: Json | undefined): value is Scalar =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'

/** What stands at a path: undefined when nothing does. */
export function lookUp(event: ModelEvent, path: string): Json | undefined {
  if (path === 'keen.timestamp') return new Date(event.timestampMs).toISOString()
  if (path === 'keen.created_at') return new Date(event.createdAtMs).toISOString()
  if (path === 'keen.id') return event.id
  let at: Json | undefined = event.body
  for (const name of path.split('.')) at = isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined
  return at
}

/** A value, or an object with some value in it somewhere. */
const isPresent = (value: Json | undefined): boolean =>
  isObject(value) ? Object.values(value).some(isPresent) : value !== undefined && value !== null

/** The values a property counts for: itself, or the elements of an array. */
function scalars(value: Json | undefined): readonly Scalar[] {
  const all = Array.isArray(value) ? (value as readonly Json[]).filter(isScalar) : isScalar(value) ? [value] : []
  return [...new Set(all.map((v) => (v === 0 ? 0 : v)))]
}

const compareText = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

function holds(order: number, operator: string): boolean {
  if (operator === 'lt') return order < 0
  if (operator === 'lte') return order <= 0
  return operator === 'gt' ? order > 0 : order >= 0
}

function miles(a: readonly number[], b: readonly number[]): number {
  const [lonA = 0, latA = 0, lonB = 0, latB = 0] = [...a, ...b].map((degrees) => (degrees * Math.PI) / 180)
  const h = Math.sin((latB - latA) / 2) ** 2 + Math.cos(latA) * Math.cos(latB) * Math.sin((lonB - lonA) / 2) ** 2
  return 2 * 3958.7613 * Math.asin(Math.sqrt(h))
}

export function passes(event: ModelEvent, filter: FilterFields): boolean {
  const { operator, operands = [] } = filter
  if (operator === 'or') return operands.some((operand) => passes(event, operand))
  if (operator === 'and') return operands.every((operand) => passes(event, operand))
  const value = lookUp(event, filter.property_name ?? '')
  const wanted = filter.property_value
  switch (operator) {
    case 'eq':
      return wanted === null ? !isPresent(value) : scalars(value).some((v) => v === wanted)
    case 'ne':
      return !passes(event, { ...filter, operator: 'eq' })
    case 'in':
      return scalars(value).some((v) => (wanted as readonly Json[]).includes(v))
    case 'exists':
      return isPresent(value) === wanted
    case 'contains':
      return typeof value === 'string' && typeof wanted === 'string'
        ? value.includes(wanted)
        : scalars(value).some((v) => v === wanted)
    case 'not_contains':
      return !passes(event, { ...filter, operator: 'contains' })
    case 'regex':
      return typeof value === 'string' && typeof wanted === 'string' && new RegExp(wanted, 'su').test(value)
    case 'within': {
      const { coordinates, max_distance_miles } = wanted as { coordinates: number[]; max_distance_miles: number }
      const isPoint = Array.isArray(value) && value.length === 2 && value.every((v) => typeof v === 'number')
      return isPoint && miles(value, coordinates) <= max_distance_miles
    }
    default:
      if (typeof value === 'string' && typeof wanted === 'string') return holds(compareText(value, wanted), operator)
      return typeof value === 'number' && typeof wanted === 'number' && holds(value - wanted, operator)
  }
}

function aggregate(
  analysis: string,
  fields: Omit<MeasureFields, 'analysis_type'>,
  events: readonly ModelEvent[],
): Json {
  const values = events.map((event) => lookUp(event, fields.target_property ?? ''))
  const numbers = values.filter((value) => typeof value === 'number').toSorted((a, b) => a - b)
  const unique = [...new Set(values.flatMap(scalars))].toSorted(compareShown)
  const sum = numbers.reduce((a, b) => a + b, 0)
  const mean = sum / numbers.length
  const ranked = (percent: number): Json =>
    numbers[Math.max(1, Math.ceil((Math.round(percent * 100) * numbers.length) / 10_000)) - 1] ?? null
  switch (analysis) {
    case 'count':
      return events.length
    case 'count_unique':
      return unique.length
    case 'select_unique':
      return unique
    case 'minimum':
      return numbers[0] ?? null
    case 'maximum':
      return numbers.at(-1) ?? null
    case 'sum':
      return sum
    case 'average':
      return numbers.length === 0 ? null : mean
    case 'median':
      return ranked(50)
    case 'percentile':
      return ranked(fields.percentile ?? Number.NaN)
    case 'standard_deviation':
      return numbers.length === 0
        ? null
        : Math.sqrt(numbers.reduce((square, n) => square + (n - mean) ** 2, 0) / numbers.length)
    default:
      throw new Error(`the model does not know ${analysis}`)
  }
}

/** null, false, true, numbers, texts. */
function compareShown(a: Json, b: Json): number {
  const rank = (value: Json): number => ['object', 'boolean', 'number', 'string'].indexOf(typeof value)
  if (rank(a) !== rank(b)) return rank(a) - rank(b)
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b)
  return Number(a) - Number(b)
}

interface Group {
  readonly shown: Json
  readonly place: Json
}

function groupsOf(event: ModelEvent, group: GroupFields): readonly Group[] {
  const none: readonly Group[] = [{ shown: null, place: null }]
  if (typeof group === 'string') {
    const values = scalars(lookUp(event, group))
    return values.length === 0 ? none : values.map((value) => ({ shown: value, place: value }))
  }
  const value = lookUp(event, group.property_name)
  if (typeof value !== 'number') return none
  if ('buckets' in group) {
    const { size } = group.buckets
    const place = Math.floor(value / size)
    return [{ shown: `${place * size} - ${(place + 1) * size}`, place }]
  }
  const place = group.ranges.findIndex(({ from = -Infinity, to = Infinity }) => value >= from && value < to)
  const range = group.ranges[place]
  return range === undefined ? none : [{ shown: `${range.from ?? ''} - ${range.to ?? ''}`.trim(), place }]
}

const nameOf = (group: GroupFields): string => (typeof group === 'string' ? group : group.property_name)

interface ModelRow {
  readonly groups: readonly Group[]
  /** By label; `result` for a single analysis. */
  readonly results: Readonly<Record<string, Json>>
}

/** What each label is over these events; a single analysis is labelled `result`. */
function computed(
  analysis: string,
  fields: QueryFields,
  events: readonly ModelEvent[],
): Readonly<Record<string, Json>> {
  if (analysis !== 'multi_analysis') return { result: aggregate(analysis, fields, events) }
  return Object.fromEntries(
    Object.entries(fields.analyses ?? {}).map(([label, one]) => [label, aggregate(one.analysis_type, one, events)]),
  )
}

function valueOf(analysis: string, fields: QueryFields, events: readonly ModelEvent[]): Json {
  const all = computed(analysis, fields, events)
  return analysis === 'multi_analysis' ? all : (all['result'] ?? null)
}

function combinations(event: ModelEvent, groups: readonly GroupFields[]): readonly (readonly Group[])[] {
  return groups.reduce<readonly (readonly Group[])[]>(
    (rows, group) => rows.flatMap((row) => groupsOf(event, group).map((value) => [...row, value])),
    [[]],
  )
}

function grouped(
  analysis: string,
  fields: QueryFields,
  events: readonly ModelEvent[],
  everywhere: readonly ModelEvent[],
): Json {
  const groups = fields.group_by ?? []
  const members = new Map<string, { readonly groups: readonly Group[]; readonly events: ModelEvent[] }>()
  const enter = (event: ModelEvent, add: boolean): void => {
    for (const combination of combinations(event, groups)) {
      const key = JSON.stringify(combination)
      const member = members.get(key) ?? { groups: combination, events: [] }
      members.set(key, member)
      if (add) member.events.push(event)
    }
  }
  for (const event of everywhere) enter(event, false)
  for (const event of events) enter(event, true)
  const rows: ModelRow[] = [...members.values()].map((member) => ({
    groups: member.groups,
    results: computed(analysis, fields, member.events),
  }))
  const byGroup = (place: number) => (a: ModelRow, b: ModelRow) =>
    compareShown(a.groups[place]?.place ?? null, b.groups[place]?.place ?? null)
  const orders = (fields.order_by ?? []).map(({ property_name, direction }) => {
    const place = groups.findIndex((group) => nameOf(group) === property_name)
    const order =
      place === -1
        ? (a: ModelRow, b: ModelRow) => {
            const [left = null, right = null] = [a.results[property_name], b.results[property_name]]
            return Array.isArray(left) ? 0 : compareShown(left, right)
          }
        : byGroup(place)
    return (a: ModelRow, b: ModelRow) => (direction === 'DESC' ? -order(a, b) : order(a, b))
  })
  const all = [...orders, ...groups.keys().map(byGroup)]
  const sorted = rows.toSorted((a, b) => all.reduce((order, next) => order || next(a, b), 0))
  return sorted.slice(0, fields.limit).map((row) => ({
    ...Object.fromEntries(groups.map((group, i) => [nameOf(group), row.groups[i]?.shown ?? null])),
    ...row.results,
  }))
}

const MINUTE_MS = 60_000
const UNIT_MS: Readonly<Record<string, number>> = {
  minute: MINUTE_MS,
  hour: 60 * MINUTE_MS,
  day: 1_440 * MINUTE_MS,
  week: 10_080 * MINUTE_MS,
}
const NAMED: Readonly<Record<string, string>> = {
  minutely: 'minute',
  hourly: 'hour',
  daily: 'day',
  weekly: 'week',
  monthly: 'month',
}

/** Offsets are fixed here (the zones have tests of their own), so local time is the moment plus the offset. */
export function modelEdges(interval: string, startMs: number, endMs: number, offsetMs: number): readonly number[] {
  const named = NAMED[interval]
  const [, count = '1', unit = 'day'] =
    named === undefined ? (/^every_(\d+)_(\w+?)s?$/.exec(interval) ?? []) : ['', '1', named]
  const edges: number[] = []
  for (let at = startMs; at < endMs; ) {
    edges.push(at)
    if (unit === 'month') {
      const local = new Date((named === undefined ? startMs : at) + offsetMs)
      const ahead = named === undefined ? edges.length * Number(count) : 1
      const lastDay = new Date(Date.UTC(local.getUTCFullYear(), local.getUTCMonth() + ahead + 1, 0)).getUTCDate()
      const day = named === undefined ? Math.min(local.getUTCDate(), lastDay) : 1
      const time = named === undefined ? (startMs + offsetMs) % (UNIT_MS['day'] ?? 1) : 0
      at = Date.UTC(local.getUTCFullYear(), local.getUTCMonth() + ahead, day) + time - offsetMs
    } else if (named === undefined) {
      at += Number(count) * (UNIT_MS[unit] ?? 0)
    } else {
      // 1970 began on a Thursday, a week begins on Sunday.
      const shift = offsetMs + (unit === 'week' ? 4 * 1_440 * MINUTE_MS : 0)
      const width = UNIT_MS[unit] ?? 1
      at = (Math.floor((at + shift) / width) + 1) * width - shift
    }
  }
  return [...edges, endMs]
}

function printed(ms: number, offsetMs: number): string {
  if (offsetMs === 0) return new Date(ms).toISOString()
  const minutes = Math.abs(offsetMs) / MINUTE_MS
  const pad = (n: number): string => String(n).padStart(2, '0')
  const sign = offsetMs < 0 ? '-' : '+'
  return new Date(ms + offsetMs)
    .toISOString()
    .replace('Z', `${sign}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`)
}

/** Also for the name `__proto__`. */
const define = (into: Record<string, Json>, name: string, value: Json): void => {
  Object.defineProperty(into, name, { value, enumerable: true, configurable: true, writable: true })
}

function extract(fields: QueryFields, events: readonly ModelEvent[]): Json {
  const byTime = events.toSorted((a, b) => a.timestampMs - b.timestampMs || compareText(a.id, b.id))
  const chosen = fields.latest === undefined ? byTime : byTime.toReversed().slice(0, fields.latest)
  return chosen.map((event) => {
    const sent = isObject(event.body['keen']) ? event.body['keen'] : {}
    const moments = {
      timestamp: new Date(event.timestampMs).toISOString(),
      created_at: new Date(event.createdAtMs).toISOString(),
      id: event.id,
    }
    const whole = { ...event.body, keen: { ...sent, ...moments } }
    if (fields.property_names === undefined) return whole
    const picked: Record<string, Json> = {}
    for (const path of fields.property_names) {
      const value = lookUp({ ...event, body: whole }, path)
      if (value === undefined) continue
      const names = path.split('.')
      let at = picked
      for (const name of names.slice(0, -1)) {
        const known = Object.hasOwn(at, name) ? at[name] : undefined
        const inner: Record<string, Json> = isObject(known) ? { ...known } : {}
        define(at, name, inner)
        at = inner
      }
      define(at, names.at(-1) ?? '', value)
    }
    return picked
  })
}

/** An actor is a value and its type. */
const actorKey = (value: Scalar): string => JSON.stringify(value)

interface StepEvent {
  readonly actor: string
  readonly atMs: number
  readonly event: ModelEvent
}

function stepEvents(step: StepFields, events: readonly ModelEvent[]): readonly StepEvent[] {
  const [startMs, endMs] = [Date.parse(step.timeframe.start), Date.parse(step.timeframe.end)]
  return events
    .filter((event) => event.timestampMs >= startMs && event.timestampMs < endMs)
    .filter((event) => (step.filters ?? []).every((filter) => passes(event, filter)))
    .flatMap((event) =>
      scalars(lookUp(event, step.actor_property)).map((actor) => ({
        actor: actorKey(actor),
        atMs: event.timestampMs,
        event,
      })),
    )
}

/** Every way through the steps, tried: one event a step, in time; of one moment, whatever is of an earlier step first. */
function comesThrough(found: readonly (readonly StepEvent[])[], actor: string, windowMs: number): number {
  const own = found.map((events) => events.filter((event) => event.actor === actor))
  const bits = (event: ModelEvent): bigint =>
    own.reduce((mask, events, i) => (events.some((one) => one.event === event) ? mask | (1n << BigInt(i)) : mask), 0n)
  const before = (a: StepEvent, b: StepEvent): boolean =>
    a.event !== b.event && (a.atMs < b.atMs || (a.atMs === b.atMs && bits(a.event) <= bits(b.event)))
  const from = (place: number, first: StepEvent, last: StepEvent): number =>
    Math.max(
      place,
      ...(own[place] ?? [])
        .filter((next) => before(last, next) && next.atMs - first.atMs <= windowMs)
        .map((next) => from(place + 1, first, next)),
    )
  return Math.max(0, ...(own[0] ?? []).map((first) => from(1, first, first)))
}

/** A funnel's answer over the events of the one collection that all steps are about. */
export function modelFunnel(fields: QueryFields, events: readonly ModelEvent[]): Json {
  const steps = fields.steps ?? []
  const found = steps.map((step) => stepEvents(step, events))
  const all = new Set(found.flat().map(({ actor }) => actor))
  const windowMs = (fields.window ?? Number.POSITIVE_INFINITY) * 1_000
  const kept: ReadonlySet<string>[] = []
  let base = all as ReadonlySet<string>
  for (const [place, step] of steps.entries()) {
    const did = new Set(found[place]?.map(({ actor }) => actor))
    const left =
      fields.ordered === true
        ? [...all].filter((actor) => comesThrough(found, actor, windowMs) > place)
        : [...base].filter((actor) => did.has(actor) !== (step.inverted ?? false))
    kept.push(new Set(left))
    if (step.optional !== true) base = new Set(left)
  }
  const shown = (actors: ReadonlySet<string>): Json =>
    [...actors].map((actor) => JSON.parse(actor) as Json).toSorted(compareShown)
  const wantsActors = steps.some((step) => step.with_actors === true)
  return {
    result: kept.map(({ size }) => size),
    ...(wantsActors && { actors: kept.map((actors, i) => (steps[i]?.with_actors === true ? shown(actors) : null)) }),
  }
}

/** The `result` of an ad-hoc query over these events, which are all of its collection's. */
export function modelResult(analysis: string, fields: QueryFields, events: readonly ModelEvent[]): Json {
  const [startMs, endMs] = [Date.parse(fields.timeframe.start), Date.parse(fields.timeframe.end)]
  const chosen = events.filter(
    (event) =>
      event.timestampMs >= startMs &&
      event.timestampMs < endMs &&
      (fields.filters ?? []).every((filter) => passes(event, filter)),
  )
  if (analysis === 'extraction') return extract(fields, chosen)
  const isGrouped = (fields.group_by ?? []).length > 0
  if (fields.interval === undefined) {
    return isGrouped ? grouped(analysis, fields, chosen, []) : valueOf(analysis, fields, chosen)
  }
  const [, sign = '+', hours = '0', minutes = '0'] = /([+-])(\d\d):(\d\d)$/.exec(fields.timeframe.start) ?? []
  const offsetMs = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE_MS
  const edges = modelEdges(fields.interval, startMs, endMs, offsetMs)
  return edges.slice(0, -1).map((edge, i) => {
    const next = edges[i + 1] ?? endMs
    const inside = chosen.filter((event) => event.timestampMs >= edge && event.timestampMs < next)
    const filled = fields.zero_fill === false ? [] : chosen
    return {
      value: isGrouped ? grouped(analysis, fields, inside, filled) : valueOf(analysis, fields, inside),
      timeframe: { start: printed(edge, offsetMs), end: printed(next, offsetMs) },
    }
  })
}

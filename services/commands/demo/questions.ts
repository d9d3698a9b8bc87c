/** What the demo asks, and how the answers are laid out. Nothing here talks to anybody. */

export interface Question {
  readonly title: string
  readonly analysis: string
  readonly body: Readonly<Record<string, unknown>>
  /** Which key asks: the project's read key, or the access key narrowed to one airport. */
  readonly key: 'read' | 'access'
  readonly columns: readonly string[]
  rows(result: unknown): readonly (readonly string[])[]
}

const COLLECTION = 'flights'
export const AIRPORT = 'ORD'
export const AIRPORT_FILTERS = [{ property_name: 'origin', operator: 'eq', property_value: AIRPORT }]
/** The first half of 2001: all flights of the file. */
export const TIMEFRAME = { start: '2001-01-01T00:00:00.000Z', end: '2001-07-01T00:00:00.000Z' }
/** The last flight leaves at the very end of the timeframe above, which its end leaves out. */
export const WHOLE_TIMEFRAME = { ...TIMEFRAME, end: '2001-07-02T00:00:00.000Z' }

const number = (value: unknown, digits = 0): string =>
  typeof value === 'number'
    ? value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
    : '-'
const text = (value: unknown): string => (typeof value === 'string' ? value : '-')
const list = (result: unknown): readonly Record<string, unknown>[] =>
  Array.isArray(result) ? (result as Record<string, unknown>[]) : []

const byMonth = {
  analysis: 'count',
  body: { event_collection: COLLECTION, timeframe: TIMEFRAME, interval: 'monthly' },
  columns: ['month', 'flights'],
  rows: (result: unknown) =>
    list(result).map(({ timeframe, value }) => [
      text((timeframe as { start?: unknown } | undefined)?.start).slice(0, 7),
      number(value),
    ]),
}

export const QUESTIONS: readonly Question[] = [
  { ...byMonth, title: 'How many flights were there each month?', key: 'read' },
  {
    title: 'Where is it worst to leave from? One flight in ten is at least this many minutes late.',
    analysis: 'percentile',
    key: 'read',
    body: {
      event_collection: COLLECTION,
      timeframe: TIMEFRAME,
      target_property: 'delay',
      percentile: 90,
      group_by: 'origin',
      order_by: [{ property_name: 'result', direction: 'DESC' }],
      limit: 10,
    },
    columns: ['origin', '90th percentile of the delay (min)'],
    rows: (result) => list(result).map(({ origin, result: value }) => [text(origin), number(value)]),
  },
  {
    title: 'How late, on average, are long flights (over 2,000 miles) to San Francisco?',
    analysis: 'average',
    key: 'read',
    body: {
      event_collection: COLLECTION,
      timeframe: TIMEFRAME,
      target_property: 'delay',
      filters: [
        { property_name: 'distance', operator: 'gt', property_value: 2000 },
        { property_name: 'destination', operator: 'eq', property_value: 'SFO' },
      ],
    },
    columns: ['average delay (min)'],
    rows: (result) => [[number(result, 1)]],
  },
  {
    title: 'Which are the latest ten flights?',
    analysis: 'extraction',
    key: 'read',
    body: {
      event_collection: COLLECTION,
      timeframe: WHOLE_TIMEFRAME,
      latest: 10,
      property_names: ['keen.timestamp', 'origin', 'destination', 'distance', 'delay'],
    },
    columns: ['left at', 'origin', 'destination', 'miles', 'delay (min)'],
    rows: (result) =>
      list(result).map(({ keen, origin, destination, distance, delay }) => [
        text((keen as { timestamp?: unknown } | undefined)?.timestamp)
          .replace('T', ' ')
          .slice(0, 16),
        text(origin),
        text(destination),
        number(distance),
        number(delay),
      ]),
  },
  {
    ...byMonth,
    title: `The first question again, under an access key that sees nothing but flights from ${AIRPORT}:`,
    key: 'access',
  },
]

/** A line for a POSIX shell that asks the question; copy and paste. */
export function curlLine(url: string, projectId: string, key: string, question: Question): string {
  const quoted = `'${JSON.stringify(question.body).replaceAll("'", String.raw`'\''`)}'`
  return (
    `curl -s '${url}/3.0/projects/${projectId}/queries/${question.analysis}' \\\n` +
    `  -H 'Authorization: ${key}' -H 'Content-Type: application/json' \\\n` +
    `  -d ${quoted}`
  )
}

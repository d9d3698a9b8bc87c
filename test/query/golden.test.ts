import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { compileQuery } from '../../services/query/language/compile.ts'
import { ANALYSES, type AnalysisName, parseQuery } from '../../services/query/language/parse.ts'
import { grantFor } from './stored-events.ts'

const FOLDER = join(import.meta.dirname, '../golden')
const NOW = Date.UTC(2026, 0, 10)
const PROJECT = 'a'.repeat(24)

interface Case {
  readonly analysis: AnalysisName
  readonly fields: Readonly<Record<string, unknown>>
  readonly keyFilters?: readonly unknown[]
}

const common = { event_collection: 'purchases', timeframe: 'this_2_days' }
const eq = { property_name: 'customer.id', operator: 'eq', property_value: 'c-1' }

const CASES: Record<string, Case> = {
  count: { analysis: 'count', fields: common },
  'count-under-an-access-key': {
    analysis: 'count',
    fields: { ...common, filters: [{ ...eq, operator: 'ne' }] },
    keyFilters: [eq],
  },
  'average-by-interval-and-group': {
    analysis: 'average',
    fields: { ...common, target_property: 'price', interval: 'hourly', group_by: ['country'] },
    keyFilters: [eq],
  },
  'percentile-by-range': {
    analysis: 'percentile',
    fields: {
      ...common,
      target_property: 'price',
      percentile: 99.9,
      group_by: { property_name: 'price', ranges: [{ to: 10 }, { from: 10 }] },
    },
  },
  'monthly-in-a-zone': {
    analysis: 'sum',
    fields: {
      ...common,
      timeframe: 'this_2_months',
      timezone: 'US/Pacific',
      interval: 'monthly',
      target_property: 'price',
    },
  },
  'extraction-latest': {
    analysis: 'extraction',
    fields: {
      ...common,
      latest: 10,
      filters: [{ property_name: 'keen.timestamp', operator: 'gt', property_value: '2026-01-09' }],
    },
    keyFilters: [eq],
  },
  'every-operator': {
    analysis: 'select_unique',
    fields: {
      ...common,
      target_property: 'hostile `name\\',
      filters: [
        {
          operator: 'or',
          operands: [
            { property_name: 'a', operator: 'in', property_value: ['x', 1, true] },
            { property_name: 'a', operator: 'exists', property_value: false },
          ],
        },
        { property_name: 'b', operator: 'gte', property_value: 1.5 },
        { property_name: 'b', operator: 'lt', property_value: 'm' },
        { property_name: 'c', operator: 'not_contains', property_value: 'x' },
        { property_name: 'c', operator: 'regex', property_value: '^x' },
        {
          property_name: 'keen.location.coordinates',
          operator: 'within',
          property_value: { coordinates: [2, 48], max_distance_miles: 5 },
        },
      ],
    },
  },
}

Object.assign(CASES, {
  'multi-analysis-by-group': {
    analysis: 'multi_analysis',
    fields: {
      ...common,
      group_by: 'country',
      analyses: {
        buyers: { analysis_type: 'count_unique', target_property: 'customer.id' },
        total: { analysis_type: 'sum', target_property: 'price' },
      },
    },
    keyFilters: [eq],
  },
  funnel: {
    analysis: 'funnel',
    fields: {
      timeframe: 'this_2_days',
      steps: [
        { event_collection: 'visits', actor_property: 'who', with_actors: true },
        {
          event_collection: 'visits',
          actor_property: 'who',
          filters: [{ ...eq, property_name: 'page' }],
          optional: true,
        },
        { event_collection: 'purchases', actor_property: 'customer.id', inverted: true },
      ],
    },
    keyFilters: [eq],
  },
  'funnel-in-order': {
    analysis: 'funnel',
    fields: {
      timeframe: 'this_2_days',
      ordered: true,
      window: 3_600,
      steps: [
        { event_collection: 'visits', actor_property: 'who' },
        { event_collection: 'purchases', actor_property: 'who' },
      ],
    },
  },
} satisfies Record<string, Case>)

const compiled = ({ analysis, fields, keyFilters }: Case) =>
  compileQuery(parseQuery(analysis, fields), grantFor(PROJECT, keyFilters), NOW)

/** Query and SQL side by side, for the eye. `UPDATE_GOLDEN=1` writes them anew; read the difference before it is kept. */
test.each(Object.entries(CASES))('%s compiles to the SQL that was agreed on', (name, question) => {
  const { sql, params } = compiled(question)
  const text = `${JSON.stringify(question, null, 2)}\n\n${sql}\n\n${JSON.stringify(params, null, 2)}\n`
  const path = join(FOLDER, `${name}.txt`)
  if (process.env['UPDATE_GOLDEN'] === '1' || !existsSync(path)) writeFileSync(path, text)
  expect(text).toBe(readFileSync(path, 'utf8'))
})

describe('in every shape of query', () => {
  const shapes = ANALYSES.flatMap((analysis) => {
    const steps = [{ event_collection: 'purchases', actor_property: 'who' }]
    const analyses = { one: { analysis_type: 'count' }, two: { analysis_type: 'sum', target_property: 'price' } }
    const fields = { ...common, target_property: 'price', percentile: 5, steps, analyses }
    const plain = [{ analysis, fields }]
    if (analysis === 'funnel') return plain
    if (analysis === 'extraction')
      return [...plain, { analysis, fields: { ...fields, latest: 3, property_names: ['a'] } }]
    return [
      ...plain,
      { analysis, fields: { ...fields, interval: 'daily' } },
      { analysis, fields: { ...fields, group_by: ['a', 'b'] } },
      { analysis, fields: { ...fields, interval: 'daily', group_by: 'a' } },
    ]
  })

  test.each(shapes)(
    'the table is read once, under project, collection, time and the key’s filter: $analysis $fields',
    (shape) => {
      const { sql, params } = compiled({ ...shape, keyFilters: [eq] })
      expect(sql.match(/\bevents\b/g)).toHaveLength(1)
      const [, where = ''] = /FROM events\n {2}WHERE ([\s\S]*?)\n\)/.exec(sql) ?? []
      expect(where).toMatch(
        /^project = \{p\d+:String\}\n {4}AND collection = \{p\d+:String\}\n {4}AND timestamp >= [\s\S]*\n {4}AND timestamp < [\s\S]*\n {4}AND .*dynamicElement\(k0, 'String'\) = \{p\d+:String\}/,
      )
      expect(Object.values(params)).toContain('c-1')
    },
  )

  test.each(shapes)('no value of a caller stands in the SQL: $analysis $fields', (shape) => {
    const mark = 'MARKED-VALUE'
    const own = { event_collection: mark, filters: [{ ...eq, property_value: mark }] }
    const fields = { ...shape.fields, ...own, steps: [{ ...own, actor_property: 'who' }] }
    const { sql, params } = compiled({ ...shape, fields, keyFilters: [{ ...eq, property_value: mark }] })
    expect(sql).not.toContain(mark)
    expect(sql).not.toContain(PROJECT)
    expect(Object.values(params).filter((value) => value === mark)).toHaveLength(3)
  })
})

import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { definition, NOW, openDatasets, type Row } from './support.ts'

const CASES = 60
const DAY = 86_400_000
const USERS = ['ann', 'bob', 'cy']
const PLANS = ['a', 'b', null]
let api: Awaited<ReturnType<typeof openDatasets>>

beforeAll(async () => {
  const events = Array.from({ length: 400 }, (_, i) => ({
    user: USERS[i % 3],
    plan: PLANS[(i >> 2) % 3],
    price: i % 17,
    atMs: NOW - Math.floor((i * 70 * DAY) / 400),
  }))
  api = await openDatasets(events)
})
afterAll(async () => api.close())

const queryArbitrary = fc.record({
  analysis: fc.constantFrom(
    { analysis_type: 'count' },
    {
      analysis_type: 'multi_analysis',
      analyses: { n: { analysis_type: 'count' }, total: { analysis_type: 'sum', target_property: 'price' } },
    },
    ...['count_unique', 'sum', 'average', 'maximum', 'select_unique'].map((analysis_type) => ({
      analysis_type,
      target_property: 'price',
    })),
  ),
  // Clocks go forward inside the timeframe in the last two.
  timezone: fc.constantFrom('UTC', 'Asia/Kolkata', 'Europe/Berlin', 'America/New_York'),
  spans: fc.constantFrom(
    ['this_70_days', 'daily', 'this_10_days'],
    ['this_70_days', 'daily', 'previous_30_days'],
    ['this_3_months', 'monthly', 'this_2_months'],
    ['previous_3_months', 'daily', 'previous_1_month'],
    ['this_10_weeks', 'weekly', 'previous_4_weeks'],
    ['this_7_days', 'hourly', 'this_2_days'],
  ),
  group: fc.constantFrom({}, { group_by: ['plan'] }),
  filters: fc.constantFrom([], [{ property_name: 'price', operator: 'gt', property_value: 5 }]),
  user: fc.constantFrom(...USERS, 'nobody'),
  zeroFill: fc.boolean(),
})

test('a dataset answers what the same query with the index as a filter does', { timeout: 120_000 }, async () => {
  let n = 0
  const property = fc.asyncProperty(
    queryArbitrary,
    async ({ analysis, timezone, spans, group, filters, user, zeroFill }) => {
      const [whole, interval, part] = spans
      const query = { ...analysis, ...group, timezone, interval, filters }
      const name = `d${n++}`
      const made = await api.call('PUT', `datasets/${name}`, 'MASTER', definition({ ...query, timeframe: whole }))
      expect(made.status).toBe(201)
      const index = { property_name: 'user', operator: 'eq', property_value: user }
      const asked = { ...query, event_collection: 'purchases', zero_fill: zeroFill, filters: [...filters, index] }
      const path = `datasets/${name}/results?index_by=${user}&zero_fill=${zeroFill}&timeframe=`
      const resultOf = ({ status, body }: Awaited<ReturnType<typeof api.call>>): readonly Row[] => {
        expect([status, body.message]).toEqual([200, undefined])
        return body.result
      }
      const adHoc = async (timeframe: unknown) =>
        resultOf(await api.call('POST', `queries/${analysis.analysis_type}`, 'MASTER', { ...asked, timeframe }))
      const relative = resultOf(await api.call('GET', path + part, 'READ'))
      expect(relative).toEqual(await adHoc(part))

      // The same part by its edges gives the same, whatever offset they are written with.
      const filled = await adHoc(part)
      const [first, last] = zeroFill ? [filled.at(0), filled.at(-1)] : []
      if (first === undefined || last === undefined) return
      const edges = { start: first.timeframe.start, end: new Date(last.timeframe.end).toISOString() }
      const absolute = await api.call('GET', path + encodeURIComponent(JSON.stringify(edges)), 'READ')
      expect(resultOf(absolute)).toEqual(relative)
    },
  )
  await fc.assert(property, { numRuns: CASES })
})

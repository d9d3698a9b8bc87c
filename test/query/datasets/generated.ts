import * as fc from 'fast-check'

const DAY = 86_400_000
export const USERS = ['ann', 'bob', 'cy']
const PLANS = ['a', 'b', null]

/** Purchases of the 70 days before a moment. */
export const eventsBefore = (ms: number) =>
  Array.from({ length: 400 }, (_, i) => ({
    user: USERS[i % 3],
    plan: PLANS[(i >> 2) % 3],
    price: i % 17,
    atMs: ms - Math.floor((i * 70 * DAY) / 400),
  }))

export const queryArbitrary = fc.record({
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

import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventsBefore, queryArbitrary } from './generated.ts'
import { definition, NOW, openDatasets, type Row } from './support.ts'

const CASES = 60
let api: Awaited<ReturnType<typeof openDatasets>>

beforeAll(async () => {
  api = await openDatasets(eventsBefore(NOW))
})
afterAll(async () => api.close())

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

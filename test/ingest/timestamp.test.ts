import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseTimestamp } from '../../services/ingest/domain/timestamp.ts'

test.each([
  ['2012-07-30T21:21:46.566000+00:00', Date.UTC(2012, 6, 30, 21, 21, 46, 566)],
  ['2012-07-30T21:21:46.566Z', Date.UTC(2012, 6, 30, 21, 21, 46, 566)],
  ['2012-07-30T21:21:46.5669999Z', Date.UTC(2012, 6, 30, 21, 21, 46, 566)],
  ['2012-07-30T21:21:46.5Z', Date.UTC(2012, 6, 30, 21, 21, 46, 500)],
  ['2012-07-30T21:21:46.566+0000', Date.UTC(2012, 6, 30, 21, 21, 46, 566)],
  ['2012-07-30T21:21:46-08:00', Date.UTC(2012, 6, 31, 5, 21, 46)],
  ['2012-07-30T21:21:46+0530', Date.UTC(2012, 6, 30, 15, 51, 46)],
  ['2012-07-30T21:21:46+02', Date.UTC(2012, 6, 30, 19, 21, 46)],
  ['2012-07-30T21:21:46.123456', Date.UTC(2012, 6, 30, 21, 21, 46, 123)],
  ['2012-07-30 21:21:46', Date.UTC(2012, 6, 30, 21, 21, 46)],
  ['2012-07-30T21:21Z', Date.UTC(2012, 6, 30, 21, 21)],
  ['2012-07-30', Date.UTC(2012, 6, 30)],
  ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
  ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
  ['1970-01-01T00:00:00Z', 0],
  ['2199-12-31T23:59:59.999Z', Date.UTC(2200, 0, 1) - 1],
])('%s is read as the time that it says', (text, ms) => {
  expect(parseTimestamp(text)).toBe(ms)
})

test.each([
  '',
  'yesterday',
  '2012',
  '2012-07',
  '2012-13-01',
  '2012-00-10',
  '2012-02-30',
  '2023-02-29',
  '2012-07-30T',
  '2012-07-30T24:00:00Z',
  '2012-07-30T21:60:00Z',
  '2012-07-30T21:00:61Z',
  '2012-07-30T21:21:46.1234567890Z',
  '2012-07-30T21:21:46Zx',
  '2012-07-30T21:21:46+1',
  '2012-07-30T21:21:46+24:00',
  '2012-07-30T21:21:46+02:60',
  '2012-07-30T21:21:46 ',
  '1969-12-31T23:59:59Z',
  '1970-01-01T00:00:00+01:00',
  '2200-01-01T00:00:00Z',
  '+012012-07-30',
  '1234567890',
  '２０１２-07-30',
])('%j is refused', (text) => {
  expect(parseTimestamp(text)).toBeUndefined()
})

test('every time that JavaScript writes is read back', () => {
  fc.assert(
    fc.property(fc.date({ min: new Date(0), max: new Date(Date.UTC(2200, 0, 1) - 1), noInvalidDate: true }), (date) => {
      expect(parseTimestamp(date.toISOString())).toBe(date.getTime())
    }),
  )
})

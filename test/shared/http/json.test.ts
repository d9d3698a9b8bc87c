import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isDeeperThan, parseJson } from '../../../services/shared/http/json.ts'

const depthOf = (value: unknown): number =>
  typeof value !== 'object' || value === null ? 0 : 1 + Math.max(0, ...Object.values(value).map(depthOf))

test('depth is counted outside strings only, whatever they hold', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.boolean(), (value, pretty) => {
      const bytes = Buffer.from(JSON.stringify(value, null, pretty ? 2 : 0))
      const depth = depthOf(value)
      expect(isDeeperThan(bytes, depth)).toBe(false)
      if (depth > 0) expect(isDeeperThan(bytes, depth - 1)).toBe(true)
    }),
  )
  expect(isDeeperThan(Buffer.from('{"a\\\\":"[[[[\\"[["}'), 1)).toBe(false)
})

test('a body that is too deep is refused before anything recurses over it', () => {
  const deep = Buffer.from(`${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`)
  expect(() => parseJson(deep)).toThrow(expect.objectContaining({ code: 'InvalidJSONError' }))
  expect(parseJson(Buffer.from('[[1]]'), 2)).toEqual([[1]])
  expect(() => parseJson(Buffer.from('[[1]]'), 1)).toThrow(expect.objectContaining({ code: 'InvalidJSONError' }))
})

test.each([
  ['', 'empty'],
  ['{', 'cut'],
  ['NaN', 'no JSON'],
  ['{"a":1}x', 'followed'],
])('%j is refused as InvalidJSONError: %s', (text) => {
  expect(() => parseJson(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'InvalidJSONError' }))
})

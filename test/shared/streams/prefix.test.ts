import { describe, expect, test } from 'vitest'
import { checkKey } from '../../../services/shared/bucket/key.ts'
import {
  DEFAULT_PREFIX,
  FILE_NAME_BYTES_MAX,
  parsePrefix,
  renderPrefix,
} from '../../../services/shared/streams/prefix.ts'

const TIME = Date.UTC(2026, 0, 2, 3, 4, 5)
const at = (collection: string) => ({ project: 'p1', stream: 's-1', collection, timeMs: TIME })
const parse = (template: string, collections: readonly string[] | null = null): string =>
  parsePrefix(template, 'prefix', { project: 'a'.repeat(24), stream: 's'.repeat(64), collections })

test('each variable stands for its part, of the arrival in UTC', () => {
  expect(renderPrefix(DEFAULT_PREFIX, at('purchases'))).toBe('p1/s-1/purchases/2026-01-02/03/')
  expect(renderPrefix('{year}{month}{day}{hour}{minute}-{collection}-', at('a'))).toBe('202601020304-a-')
  expect(renderPrefix('', at('a'))).toBe('')
})

test.each(['..', '.', 'a/b', '../../x', 'a b', '{year}', '%2E%2E', '$&', "$'"])(
  'a collection called %s stays one part of the key',
  (collection) => {
    const prefix = renderPrefix('x/{collection}/', at(collection))
    expect(prefix.split('/')).toHaveLength(3)
    expect(() => checkKey(`${prefix}file`)).not.toThrow()
    expect(decodeURIComponent(prefix.split('/')[1] ?? '')).toBe(collection)
  },
)

describe('what is wrong is named', () => {
  test.each([
    ['{project}/{date}/', '{date}'],
    ['{Project}/', '{Project}'],
    ['{}/', '{}'],
    ['{project/', 'brace'],
    ['project}/', 'brace'],
    ['/x/', 'slash'],
    ['x//y/', 'empty part'],
    ['../x/', '..'],
    ['x/../', '..'],
    ['x/./', '.'],
    ['x/..', '..'],
    ['x\n/', 'control'],
    ['x\u0000/', 'control'],
    ['x\ud800/', 'control'],
    ['x'.repeat(825), '824'],
    ['{collection}'.repeat(5), '824'],
    ['é'.repeat(413), '824'],
  ])('%j', (template, told) => {
    expect(() => parse(template)).toThrow(told)
    expect(() => parse(template)).toThrow('prefix')
  })
})

test('a prefix that is let through leaves room for a name of 200 bytes, whatever the collection is called', () => {
  const longest = `${'x'.repeat(824 - 192)}{collection}`
  expect(parse(longest)).toBe(longest)
  const key = renderPrefix(longest, { project: 'p', stream: 's', collection: '/'.repeat(64), timeMs: TIME })
  expect(() => checkKey(key + 'f'.repeat(FILE_NAME_BYTES_MAX))).not.toThrow()
  expect(() => parse(`${longest}x`)).toThrow('825 bytes')
  // Of collections that are known, only their own names count.
  expect(parse(`${longest}x`, ['short'])).toBe(`${longest}x`)
})

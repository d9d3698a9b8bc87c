import { expect, test } from 'vitest'
import { formatIntent, parseIntent } from '../../services/loader/domain/intent.ts'

test('an intent reads back as it was written, and one that cannot be carried out is refused', () => {
  const range = { first: 17n, last: 18_446_744_073_709_551_615n }
  expect(parseIntent(formatIntent(range), 17n)).toEqual(range)
  expect(parseIntent('', 17n)).toBeUndefined()
  for (const metadata of ['v2;r=17-18;c=1', 'v1;r=17-18;c=2', 'v1;r=18-20;c=1', 'v1;r=17-16;c=1', 'nonsense']) {
    expect(() => parseIntent(metadata, 17n)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  }
})

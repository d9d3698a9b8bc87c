import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { clientAddressBehind } from '../../../services/shared/http/client-address.ts'

const from = (trusted: readonly string[], remoteAddress: string, forwarded?: string): string | undefined =>
  clientAddressBehind(trusted)({
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    socket: { remoteAddress },
    connection: { remoteAddress },
  } as unknown as IncomingMessage)

test.each([
  ['nobody is believed by default', [], '10.0.0.9', '1.1.1.1', '10.0.0.9'],
  ['the last hop that is not trusted counts', ['private'], '10.0.0.9', '6.6.6.6, 1.1.1.1, 10.0.0.8', '1.1.1.1'],
  ['a caller who is no proxy is not believed', ['private'], '9.9.9.9', '1.1.1.1', '9.9.9.9'],
  ['networks', ['203.0.113.0/24'], '203.0.113.7', '2001:DB8::0:1', '2001:db8::1'],
  ['IPv4 in IPv6', ['loopback'], '::ffff:127.0.0.1', '::ffff:1.1.1.1', '1.1.1.1'],
  ['a port behind it', ['loopback'], '127.0.0.1', '1.1.1.1:8080', '1.1.1.1'],
  ['brackets around it', ['loopback'], '::1', '[2001:db8::1]:80', '2001:db8::1'],
  ['what is no address', ['loopback'], '127.0.0.1', 'unknown', undefined],
  ['a header that is too long', ['loopback'], '127.0.0.1', '1.1.1.1,'.repeat(1_000), '127.0.0.1'],
])('%s', (_, trusted, remote, forwarded, expected) => {
  expect(from(trusted, remote, forwarded)).toBe(expected)
})

test('what is no network is refused', () => {
  for (const wrong of ['x', '10.0.0.0/33', '1.2.3']) expect(() => clientAddressBehind([wrong])).toThrow(TypeError)
})

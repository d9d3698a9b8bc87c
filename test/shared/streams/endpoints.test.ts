import { describe, expect, test } from 'vitest'
import { checkEndpoint, parseListedHosts } from '../../../services/shared/streams/endpoints.ts'

const check = (text: string, listed = '', bucket?: string): string =>
  checkEndpoint(text, 'destination.endpoint', parseListedHosts(listed) ?? [], bucket)

const OWN = [
  'https://s3.amazonaws.com',
  'https://s3.eu-central-1.amazonaws.com',
  'https://s3-fips.dualstack.us-gov-west-1.amazonaws.com',
  'https://s3.cn-north-1.amazonaws.com.cn',
  'https://storage.googleapis.com',
  'https://storage.us-east1.rep.googleapis.com',
]
test.each(OWN)('%s needs no leave', (endpoint) => {
  expect(check(endpoint)).toBe(endpoint)
  expect(check(`${endpoint}/`)).toBe(endpoint)
})

/** With `minio.internal:9000,[::1]:9000,127.0.0.1:9000,store.example,*.oss.example` allowed. */
const LISTED = 'minio.internal:9000, [::1]:9000,127.0.0.1:9000,Store.Example.,*.oss.example,*.pub.example:8443'
const GOOD: readonly (readonly [endpoint: string, origin: string])[] = [
  ['http://minio.internal:9000', 'http://minio.internal:9000'],
  ['http://MINIO.Internal:9000/', 'http://minio.internal:9000'],
  ['http://minio.internal.:9000', 'http://minio.internal:9000'],
  ['https://[::1]:9000', 'https://[::1]:9000'],
  ['https://[0:0:0:0:0:0:0:1]:9000', 'https://[::1]:9000'],
  ['http://127.1:9000', 'http://127.0.0.1:9000'],
  ['https://store.example', 'https://store.example'],
  ['https://store.example:443', 'https://store.example'],
  ['http://store.example:80', 'http://store.example'],
  ['https://eu.oss.example', 'https://eu.oss.example'],
  ['https://eu.pub.example:8443', 'https://eu.pub.example:8443'],
]
test.each(GOOD)('%s is among the allowed, and spoken to as %s', (endpoint, origin) => {
  expect(check(endpoint, LISTED)).toBe(origin)
})

const NOT_LISTED = [
  'http://minio.internal',
  'http://minio.internal:9001',
  'http://minio.internal.evil.example:9000',
  'http://xminio.internal:9000',
  'http://a.minio.internal:9000',
  'http://minio.internal..:9000',
  'https://store.example:8443',
  'https://oss.example',
  'https://xoss.example',
  'https://eu.oss.example:8443',
  'https://eu.pub.example',
  'http://169.254.169.254',
  'http://[::ffff:127.0.0.1]:9000',
  'http://[::2]:9000',
  'http://2130706434:9000',
  'http://localhost:9000',
  'https://ec2-10-0-0-1.compute-1.amazonaws.com',
  'https://sts.amazonaws.com',
  'https://s3.x.ec2.amazonaws.com',
  'https://s3.amazonaws.com.evil.example',
  'https://vpce-1.s3.eu-central-1.vpce.amazonaws.com',
  'https://metadata.googleapis.com',
  'https://storage.googleapis.com.evil.example',
]
test.each(NOT_LISTED)('%s is refused as not allowed', (endpoint) => {
  expect(() => check(endpoint, LISTED)).toThrow(/^destination\.endpoint is not among .*TRIBUTARY_STREAM_ENDPOINTS/)
  expect(() => check(endpoint)).toThrow(
    /^destination\.endpoint must be left out.*TRIBUTARY_STREAM_ENDPOINTS is not set/,
  )
})

const NOT_PLAIN = [
  'http://minio.internal:9000@evil.example',
  'http://user:pw@minio.internal:9000',
  'http://@minio.internal:9000',
  'http://minio.internal:9000\\@evil.example',
  'http://minio.internal:9000/path',
  'http://minio.internal:9000/?x=1',
  'http://minio.internal:9000?',
  'http://minio.internal:9000#',
  'http://minio.internal:9000/%2e%2e/x',
  'ftp://minio.internal:9000',
  'file:///etc/passwd',
  'minio.internal:9000',
  '//minio.internal:9000',
  'http://',
  'http://minio.internal:99999',
  'http://mi\tnio.internal:9000',
  ' http://minio.internal:9000',
  'http://minio.internal:9000\n',
  '',
]
test.each(NOT_PLAIN)('%j is no endpoint', (endpoint) => {
  expect(() => check(endpoint, LISTED)).toThrow(/^destination\.endpoint must be http/)
})

test('Amazon’s and Google’s own are spoken to over TLS and on no port of the caller’s', () => {
  expect(() => check('http://s3.amazonaws.com', LISTED)).toThrow('https')
  expect(() => check('https://storage.googleapis.com:8443', LISTED)).toThrow('without a port')
})

describe('where the bucket’s name becomes part of the host', () => {
  test('that host must be allowed', () => {
    expect(() => check('http://minio.internal:9000', LISTED, 'admin')).toThrow('path_style')
    expect(() => check('https://store.example', LISTED, 'admin')).toThrow('path_style')
    expect(check('https://oss.example', LISTED, 'data')).toBe('https://oss.example')
    expect(check('https://s3.eu-central-1.amazonaws.com', '', 'data')).toBe('https://s3.eu-central-1.amazonaws.com')
  })
})

test('the operator’s list is hosts, perhaps with a port, and nothing else', () => {
  expect(parseListedHosts('')).toEqual([])
  expect(parseListedHosts('A.b.:1, *.c')).toEqual([
    { host: 'a.b', isAllUnder: false, port: '1' },
    { host: 'c', isAllUnder: true, port: '' },
  ])
  for (const wrong of ['http://a', 'a/b', 'a:0', 'a:99999', '*', 'a b', 'u@a', '::1', 'a,*']) {
    expect(parseListedHosts(wrong), wrong).toBeUndefined()
  }
})

/** On every answer, failures too: browsers show an application neither status nor body without them. Keys travel in headers and URLs, never in cookies, so any origin may ask. */
export const CORS_HEADERS: Readonly<Record<string, string>> = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, POST, PUT, DELETE, HEAD, OPTIONS',
  'access-control-allow-headers':
    'Authorization, Content-Type, keen-sdk, Origin, Accept, X-Requested-With, Content-Encoding, Idempotency-Key, X-Keen-Blob-Metadata, X-Request-Id',
  'access-control-expose-headers': 'Retry-After, X-Request-Id',
  'access-control-max-age': '86400',
}

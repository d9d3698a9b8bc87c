/**
 * Browsers record events and ask questions from any origin; the key is the only credential, so every origin is
 * welcome. The headers stand on every answer: without them a browser shows a script no error, only a failure.
 */
export const CORS_HEADERS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, POST, PUT, DELETE, HEAD, OPTIONS',
  'access-control-allow-headers':
    'Authorization, Content-Type, keen-sdk, Origin, Accept, X-Requested-With, Content-Encoding, Idempotency-Key, X-Request-Id, X-Keen-Blob-Metadata, Last-Event-ID, Cache-Control',
  'access-control-expose-headers': 'X-Request-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset',
  'access-control-max-age': '86400',
} as const satisfies Record<string, string>

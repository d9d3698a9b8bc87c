import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../services/shared/config.ts'
import { AppError } from '../../services/shared/errors.ts'

const SECRET = 'x'.repeat(40)
const ORGANIZATION = {
  TRIBUTARY_ORGANIZATION_ID: '0123456789abcdef01234567',
  TRIBUTARY_ORGANIZATION_KEY: 'A'.repeat(64),
  TRIBUTARY_SECRET: SECRET,
}
const faults = (env: Record<string, string>): string => {
  try {
    loadConfig(env, '/tmp')
  } catch (error) {
    expect(error).toBeInstanceOf(AppError)
    return (error as AppError).message
  }
  return ''
}

test('without any setting everything is embedded, on the local machine alone', () => {
  const config = loadConfig({}, '/somewhere')
  expect(config.server).toEqual({ host: '127.0.0.1', port: 8080 })
  expect(config.log).toEqual({ kind: 'lmdb', folder: '/somewhere/data/log' })
  expect(config.warehouse).toEqual({ kind: 'chdb', folder: '/somewhere/data/warehouse' })
  expect(config.topics.eventPartitions).toBe(4)
})

test('every fault is named at once, by name and never by value', () => {
  const message = faults({
    TRIBUTARY_PORT: '80800',
    TRIBUTARY_HOSTS: 'typo-value',
    TRIBUTARY_LOG_LEVEL: 'loud-value',
    TRIBUTARY_SECRET: 'short-value',
    TRIBUTARY_LOADER_BATCH_ROWS: '7.5',
    KAFKA_SSL: 'maybe-value',
  })
  for (const name of [
    'TRIBUTARY_PORT must be a whole number from 0 to 65535',
    'TRIBUTARY_HOSTS is not a setting; did you mean TRIBUTARY_HOST?',
    'TRIBUTARY_LOG_LEVEL must be one of trace',
    'TRIBUTARY_SECRET must be',
    'TRIBUTARY_LOADER_BATCH_ROWS must be a whole number',
    'KAFKA_SSL must be true or false',
  ]) {
    expect(message).toContain(name)
  }
  expect(message).toContain('6 settings are wrong')
  expect(message).not.toMatch(/80800|-value|7\.5/)
})

test('settings that only make sense together are refused apart, all at once', () => {
  const message = faults({
    TRIBUTARY_ORGANIZATION_ID: ORGANIZATION.TRIBUTARY_ORGANIZATION_ID,
    KAFKA_BROKERS: 'one,two:9092',
    KAFKA_SASL_USERNAME: 'me',
    KAFKA_SSL_CA_FILE: '/ca.pem',
    CLICKHOUSE_URL: 'ftp://example.com',
  })
  expect(message).toContain('TRIBUTARY_ORGANIZATION_KEY and TRIBUTARY_SECRET must be set too')
  expect(message).toContain('KAFKA_BROKERS must be')
  expect(message).toContain('KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD must be set together')
  expect(message).toContain('KAFKA_SSL must be true')
  expect(message).toContain('CLICKHOUSE_URL must be an http or https URL')
})

test('user, password and database are taken out of the ClickHouse URL', () => {
  const { warehouse } = loadConfig({ CLICKHOUSE_URL: 'https://us%40er:p%2Fw@ch.example.com:8443/events' }, '/tmp')
  expect(warehouse).toMatchObject({
    kind: 'http',
    url: 'https://ch.example.com:8443',
    username: 'us@er',
    password: 'p/w',
    database: 'events',
  })
})

test('a setting that contradicts the ClickHouse URL, or a damaged one, is refused', () => {
  expect(faults({ CLICKHOUSE_URL: 'http://a:b@ch:8123', CLICKHOUSE_USER: 'c' })).toContain(
    'CLICKHOUSE_USER must not differ',
  )
  expect(faults({ CLICKHOUSE_URL: 'http://%zz@ch:8123' })).toContain('percent-encoded')
  expect(faults({ CLICKHOUSE_URL: 'http://ch:8123/a`b' })).toContain('CLICKHOUSE_DATABASE')
})

describe('in a cluster', () => {
  test('Kafka brings more partitions, TLS and a sign-in', () => {
    const config = loadConfig(
      {
        ...ORGANIZATION,
        KAFKA_BROKERS: 'a:9092, b:9093',
        KAFKA_SSL: 'true',
        KAFKA_SASL_MECHANISM: 'scram-sha-512',
        KAFKA_SASL_USERNAME: 'u',
        KAFKA_SASL_PASSWORD: 'p',
      },
      '/tmp',
    )
    expect(config.topics.eventPartitions).toBe(12)
    expect(config.log).toMatchObject({
      kind: 'kafka',
      brokers: ['a:9092', 'b:9093'],
      ssl: { caFile: undefined },
      sasl: { mechanism: 'scram-sha-512', username: 'u', password: 'p' },
    })
    expect(config.organization.secret).toBe(SECRET)
  })

  test('what Kubernetes adds for a Service called tributary is not taken for a slip of the pen', () => {
    const env = {
      TRIBUTARY_SERVICE_HOST: '10.0.0.1',
      TRIBUTARY_PORT_8080_TCP_ADDR: '10.0.0.1',
      TRIBUTARY_SERVICE_PORT: '1',
    }
    expect(faults(env)).toBe('')
  })
})

test('an empty setting counts as not set', () => {
  expect(loadConfig({ TRIBUTARY_PORT: '', KAFKA_BROKERS: '', TRIBUTARY_SECRET: '' }, '/tmp').log.kind).toBe('lmdb')
})

test('streams may write nowhere but to the clouds, unless the operator says so', () => {
  expect(loadConfig({}, '/somewhere').streams).toEqual({ endpoints: [], folder: undefined, perProjectMax: 20 })
  const env = {
    TRIBUTARY_STREAM_ENDPOINTS: 'minio.internal:9000',
    TRIBUTARY_STREAM_FOLDER: 'exports',
    TRIBUTARY_STREAMS: '3',
  }
  expect(loadConfig(env, '/somewhere').streams).toEqual({
    endpoints: [{ host: 'minio.internal', isAllUnder: false, port: '9000' }],
    folder: '/somewhere/exports',
    perProjectMax: 3,
  })
  expect(faults({ TRIBUTARY_STREAM_ENDPOINTS: 'http://minio.internal:9000' })).toContain(
    'TRIBUTARY_STREAM_ENDPOINTS must be',
  )
})

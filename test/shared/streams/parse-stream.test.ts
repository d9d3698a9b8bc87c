import { describe, expect, test } from 'vitest'
import { AppError } from '../../../services/shared/errors.ts'
import type { Stream } from '../../../services/shared/streams/model.ts'
import { parseStream, type StreamDraft } from '../../../services/shared/streams/parse-stream.ts'
import {
  GCS_DESTINATION,
  PRIVATE_KEY,
  S3_DESTINATION,
  S3_SECRET,
  S3_STATIC,
  SERVICE_ACCOUNT,
} from '../../support/stream-bodies.ts'
import { streamSettings } from '../../support/streams.ts'

const NOW = Date.UTC(2026, 5, 1)
const parse = (body: unknown, known?: Stream): StreamDraft =>
  parseStream(body, {
    projectId: 'p1',
    name: 'lake',
    nowMs: NOW,
    settings: streamSettings('minio.internal:9000', '/exports'),
    externalId: 'tributary-mine',
    known,
  })
const s3 = (more: object) => ({ format: 'avro', destination: { ...S3_DESTINATION, ...more } })
const user = (more: object) => s3({ credentials: { ...S3_STATIC, ...more } })
const gcs = (more: object) => ({ format: 'avro', destination: { ...GCS_DESTINATION, ...more } })
const account = (more: object) => gcs({ credentials: { ...SERVICE_ACCOUNT, ...more } })
const role = (more: object) => s3({ credentials: { kind: 'role', ...more } })
const folder = (name: unknown) => ({ format: 'avro', destination: { kind: 'folder', folder: name } })
const ROLE_ARN = 'arn:aws:iam::123456789012:role/path/writer'

test('what is left out has its default', () => {
  expect(parse(s3({}))).toEqual({
    projectId: 'p1',
    name: 'lake',
    destination: {
      kind: 's3',
      bucket: 'lake',
      region: 'eu-central-1',
      pathStyle: false,
      credentials: { kind: 'static', accessKeyId: S3_STATIC.access_key_id, secret: { secret: S3_SECRET } },
    },
    prefix: '{project}/{stream}/{collection}/{year}-{month}-{day}/{hour}/',
    format: 'avro',
    collections: null,
    filtersJson: [],
    cadenceMinutes: 5,
    targetBytes: 134_217_728,
    startMs: NOW,
    paused: false,
  })
})

test('everything can be said', () => {
  const filters = [{ property_name: 'a', operator: 'eq', property_value: 1 }]
  const body = {
    ...s3({
      endpoint: 'http://minio.internal:9000',
      encryption: { kind: 'aws:kms', key_id: 'alias/lake' },
      credentials: { kind: 'role', role_arn: ROLE_ARN, external_id: 'tributary-mine' },
    }),
    prefix: 'x/',
    collections: ['a', 'b'],
    filters,
    cadence_minutes: 60,
    target_bytes: 1_048_576,
    start: '2020-01-01',
    paused: true,
  }
  expect(parse(body)).toMatchObject({
    destination: {
      endpoint: 'http://minio.internal:9000',
      pathStyle: true,
      credentials: { kind: 'role', roleArn: ROLE_ARN },
      encryption: { kind: 'aws:kms', keyId: 'alias/lake' },
    },
    prefix: 'x/',
    collections: ['a', 'b'],
    filtersJson: filters,
    cadenceMinutes: 60,
    targetBytes: 1_048_576,
    startMs: Date.UTC(2020, 0, 1),
    paused: true,
  })
  expect(parse(gcs({ kms_key_name: 'projects/p/locations/eu/keyRings/r/cryptoKeys/k' })).destination).toEqual({
    kind: 'gcs',
    bucket: 'lake',
    credentials: {
      kind: 'service_account',
      clientEmail: SERVICE_ACCOUNT.client_email,
      secret: { secret: PRIVATE_KEY },
    },
    kmsKeyName: 'projects/p/locations/eu/keyRings/r/cryptoKeys/k',
  })
  expect(parse(folder('a/b.c')).destination).toEqual({ kind: 'folder', folder: 'a/b.c' })
})

test('a stream that is replaced goes on from where it started, and stays paused, unless the body says otherwise', () => {
  const known = { startMs: 7, paused: true } as Stream
  expect(parse(s3({}), known)).toMatchObject({ startMs: 7, paused: true })
  const said = { ...s3({}), start: 'now', paused: false }
  expect(parse(said, known)).toMatchObject({ startMs: NOW, paused: false })
})

const BAD: readonly (readonly [body: unknown, field: string])[] = [
  [[], 'The body'],
  [null, 'The body'],
  [{ format: 'avro' }, 'destination'],
  [{ ...s3({}), formats: 'avro' }, 'formats'],
  [{ ...s3({}), ['__proto__x']: 1 }, '__proto__x'],
  [JSON.parse('{"__proto__": {"format": "avro"}}'), '__proto__'],
  [{ destination: S3_DESTINATION }, 'format'],
  [{ ...s3({}), format: 'csv' }, 'format'],
  [{ ...s3({}), format: ['avro'] }, 'format'],
  [{ ...s3({}), prefix: 7 }, 'prefix'],
  [{ ...s3({}), prefix: '{x}' }, 'prefix has {x}'],
  [{ ...s3({}), collections: [] }, 'collections'],
  [{ ...s3({}), collections: 'a' }, 'collections'],
  [{ ...s3({}), collections: ['a', 7] }, 'collections[1]'],
  [{ ...s3({}), collections: ['a', 'é'] }, 'collections[1]'],
  [{ ...s3({}), collections: ['a', 'x'.repeat(65)] }, 'collections[1]'],
  [{ ...s3({}), collections: ['a\n'] }, 'collections[0]'],
  [{ ...s3({}), collections: ['a', 'a'] }, 'collections'],
  [{ ...s3({}), filters: {} }, 'filters'],
  [{ ...s3({}), filters: [{ property_name: 'a', operator: 'is', property_value: 1 }] }, 'filters[0].operator'],
  [{ ...s3({}), cadence_minutes: 0 }, 'cadence_minutes'],
  [{ ...s3({}), cadence_minutes: 61 }, 'cadence_minutes'],
  [{ ...s3({}), cadence_minutes: 1.5 }, 'cadence_minutes'],
  [{ ...s3({}), cadence_minutes: '5' }, 'cadence_minutes'],
  [{ ...s3({}), target_bytes: 1_048_575 }, 'target_bytes'],
  [{ ...s3({}), target_bytes: 1_073_741_825 }, 'target_bytes'],
  [{ ...s3({}), start: 'yesterday' }, 'start'],
  [{ ...s3({}), start: 0 }, 'start'],
  [{ ...s3({}), start: '1969-12-31' }, 'start'],
  [{ ...s3({}), paused: 'no' }, 'paused'],
  [{ format: 'avro', destination: 's3://lake' }, 'destination'],
  [{ format: 'avro', destination: { ...S3_DESTINATION, kind: 'azure' } }, 'destination.kind'],
  [s3({ folder: 'x' }), 'destination.folder'],
  [s3({ acl: 'public-read' }), 'destination.acl'],
  ...[
    '',
    'a',
    'ab',
    'A-bucket',
    'under_score',
    'a..b',
    '-ab',
    'ab-',
    '10.0.0.1',
    'a/b',
    'xn--ab',
    'ab-s3alias',
    'x'.repeat(64),
  ]
    .concat(['arn:aws:s3:eu-central-1:123456789012:accesspoint/x', 'lake@evil', 'data--x-s3'])
    .map((bucket) => [s3({ bucket }), 'destination.bucket'] as const),
  [s3({ bucket: 7 }), 'destination.bucket'],
  ...['', 'eu.central', 'evil.example/', 'x@y', 'EU-WEST-1', '-x'].map(
    (region) => [s3({ region }), 'destination.region'] as const,
  ),
  [s3({ region: null }), 'destination.region'],
  [s3({ endpoint: 'http://evil.example' }), 'destination.endpoint'],
  [s3({ endpoint: 'http://minio.internal:9000', path_style: false }), 'destination.endpoint'],
  [s3({ path_style: 'yes' }), 'destination.path_style'],
  [s3({ credentials: undefined }), 'destination.credentials'],
  [user({ kind: 'ambient' }), 'destination.credentials.kind'],
  [user({ kind: 'profile' }), 'destination.credentials.kind'],
  [user({ access_key_id: 'a b' }), 'destination.credentials.access_key_id'],
  [user({ access_key_id: undefined }), 'destination.credentials.access_key_id'],
  [user({ secret_access_key: 7 }), 'destination.credentials.secret_access_key'],
  [user({ secret_access_key: 'with blank' }), 'destination.credentials.secret_access_key'],
  [user({ secret_access_key: '' }), 'destination.credentials.secret_access_key'],
  [user({ session_token: '********' }), 'destination.credentials.session_token'],
  [user({ secret_access_key: undefined, session_token: 'new' }), 'destination.credentials.session_token'],
  [user({ role_arn: ROLE_ARN }), 'destination.credentials.role_arn'],
  [role({}), 'destination.credentials.role_arn'],
  [role({ role_arn: 'arn:aws:iam::1:role/x' }), 'destination.credentials.role_arn'],
  [role({ role_arn: 'arn:aws:iam::123456789012:user/x' }), 'destination.credentials.role_arn'],
  [role({ role_arn: ROLE_ARN, external_id: 'tributary-another' }), 'destination.credentials.external_id'],
  [s3({ encryption: { kind: 'none' } }), 'destination.encryption.kind'],
  [s3({ encryption: { kind: 'AES256', key_id: 'x' } }), 'destination.encryption.key_id'],
  [s3({ encryption: { kind: 'aws:kms', key_id: 'a b' } }), 'destination.encryption.key_id'],
  ...['goog-x', 'my-google', 'a..b', 'UP', '10.0.0.1', 'x'.repeat(64), `${'x'.repeat(64)}.de`].map(
    (bucket) => [gcs({ bucket }), 'destination.bucket'] as const,
  ),
  [gcs({ region: 'x' }), 'destination.region'],
  [gcs({ endpoint: 'http://169.254.169.254' }), 'destination.endpoint'],
  [gcs({ kms_key_name: 'k' }), 'destination.kms_key_name'],
  [account({ type: 'external_account' }), 'destination.credentials.type'],
  [account({ kind: 'ambient' }), 'destination.credentials.kind'],
  [account({ credential_source: { file: '/etc/passwd' } }), 'destination.credentials.credential_source'],
  [account({ client_email: 'nobody' }), 'destination.credentials.client_email'],
  [account({ private_key: 'secret-in-no-form' }), 'destination.credentials.private_key'],
  ...[
    '',
    '/etc',
    '../x',
    'a/../b',
    'a/..',
    '.',
    '.tributary',
    'a/.hidden',
    'a//b',
    'a/',
    'a\\b',
    'a\0b',
    'é',
    'x'.repeat(101),
  ]
    .concat(['a/'.repeat(250)])
    .map((name) => [folder(name), 'destination.folder'] as const),
  [folder(7), 'destination.folder'],
]

describe('what is wrong is a 400 that names the field, and quotes no secret', () => {
  test.each(BAD)('%#: %j', (body, field) => {
    let thrown: unknown
    try {
      parse(body)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(AppError)
    const error = thrown as AppError
    expect(error.policy).toMatchObject({ status: 400, expose: true })
    expect(error.message.startsWith(field), error.message).toBe(true)
    expect(error.message).not.toMatch(/with blank|secret-in-no-form|wJalr|PRIVATE/)
  })
})

test('streams into folders are refused where the operator has none', () => {
  const context = { projectId: 'p', name: 's', nowMs: NOW, externalId: 'x', known: undefined }
  expect(() => parseStream(folder('a'), { ...context, settings: streamSettings() })).toThrow(
    /^destination\.kind cannot be folder: TRIBUTARY_STREAM_FOLDER/,
  )
})

import { beforeEach, expect, test } from 'vitest'
import type { Stream } from '../../services/shared/streams/model.ts'
import { ownerOf, streamSecretsWith } from '../../services/shared/streams/secrets.ts'
import { streamOf } from '../../services/shared/streams/stored.ts'
import { DEPLOYMENT, type ProjectKeys } from '../support/api.ts'
import { type Method, openTestAdmin, type OpenedAdmin, type Sent } from '../support/open-admin.ts'
import {
  GCS_DESTINATION,
  PRIVATE_KEY,
  S3_DESTINATION,
  S3_SECRET,
  S3_STATIC,
  SERVICE_ACCOUNT,
  SESSION_TOKEN,
} from '../support/stream-bodies.ts'
import { streamSettings } from '../support/streams.ts'

const MASK = '********'
const SECRETS = streamSecretsWith(DEPLOYMENT.secret)
const WITH_TOKEN = { ...S3_STATIC, session_token: SESSION_TOKEN }

let admin: OpenedAdmin
let project: ProjectKeys
beforeEach(async () => {
  admin = await openTestAdmin({
    streams: { settings: streamSettings('minio.internal:9000,other.internal:9000', '/x') },
  })
  project = await admin.createProject()
})
const send = (method: Method, path: string, body?: unknown): Promise<Sent> =>
  admin.send(method, `/3.0/projects/${project.id}/streams${path}`, { key: project.master, body })
const put = (destination: object, name = 'lake'): Promise<Sent> =>
  send('PUT', `/${name}`, { destination, format: 'avro' })
const s3 = (credentials: object, more: object = {}) => ({ ...S3_DESTINATION, ...more, credentials })

/** What a worker would get of the stored stream. */
function stored(name = 'lake'): unknown {
  const definition = admin.registry.definitions.get('stream', project.id, name)
  const stream = definition && (streamOf(definition) as Stream)
  const owner = stream && ownerOf(stream.destination)
  if (stream === undefined || stream.destination.kind === 'folder' || owner === undefined) return undefined
  const { credentials } = stream.destination
  return 'sealed' in credentials ? SECRETS.open(credentials.sealed, project.id, name, owner) : undefined
}

test('no secret stands in the topic, in an answer or in a log line', async () => {
  const answers = [
    await put(s3(WITH_TOKEN)),
    await put(GCS_DESTINATION, 'google'),
    await put({ ...S3_DESTINATION, bucket: 'UP', credentials: WITH_TOKEN }),
    await send('GET', ''),
    await send('GET', '/lake'),
    await send('GET', '/google'),
    await send('POST', '/lake/pause'),
    await send('POST', '/google/test'),
  ]
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 400, 200, 200, 200, 200, 200])
  const topic = admin.log.records.map(({ key, value }) => `${key?.toString('latin1')} ${value?.toString('latin1')}`)
  expect(topic.join('\n')).toContain('AKIAIOSFODNN7EXAMPLE')
  const everything = [...topic, ...admin.lines, ...answers.map(({ body }) => JSON.stringify(body))].join('\n')
  const middle = PRIVATE_KEY.split('\n')[5] ?? ''
  for (const secret of [S3_SECRET, SESSION_TOKEN, middle, 'PRIVATE KEY', 'evil.example']) {
    expect(secret.length).toBeGreaterThan(10)
    expect(everything.includes(secret), secret).toBe(false)
    expect(everything.includes(Buffer.from(secret).toString('base64').slice(0, -4)), secret).toBe(false)
  }
  const sealed = (stream: Sent): unknown => JSON.stringify(stream.body).includes('sealed')
  expect(answers.some(sealed)).toBe(false)
})

test('secrets are masked, and only those that are there', async () => {
  await put(s3(S3_STATIC))
  const shown = async (): Promise<unknown> =>
    ((await send('GET', '/lake')).body as { destination: { credentials: unknown } }).destination.credentials
  const user = { kind: 'static', access_key_id: S3_STATIC.access_key_id, secret_access_key: MASK }
  expect(await shown()).toEqual(user)
  await put(s3(WITH_TOKEN))
  expect(await shown()).toEqual({ ...user, session_token: MASK })
  await put(GCS_DESTINATION)
  expect(await shown()).toEqual({
    kind: 'service_account',
    client_email: SERVICE_ACCOUNT.client_email,
    private_key: MASK,
  })
})

test('a secret that is left out or masked is the stored one', async () => {
  await put(s3(WITH_TOKEN))
  const both = { secret: S3_SECRET, sessionToken: SESSION_TOKEN }
  expect(stored()).toEqual(both)
  const { secret_access_key: _, ...without } = S3_STATIC
  for (const credentials of [without, { ...S3_STATIC, secret_access_key: MASK }, { ...without, session_token: MASK }]) {
    expect((await put(s3(credentials, { region: 'eu-west-1' }))).status).toBe(200)
    expect(stored()).toEqual(both)
  }
  await put(s3({ ...S3_STATIC, secret_access_key: 'another-secret' }))
  expect(stored()).toEqual({ secret: 'another-secret' })
  await put(GCS_DESTINATION, 'google')
  const { private_key: __, ...account } = SERVICE_ACCOUNT
  expect((await put({ ...GCS_DESTINATION, credentials: account }, 'google')).status).toBe(200)
  expect(stored('google')).toEqual({ secret: PRIVATE_KEY })
})

const MINIO = { endpoint: 'http://minio.internal:9000' }
const MASKED = { ...S3_STATIC, secret_access_key: MASK }
test.each([
  ['another bucket', s3(MASKED, { ...MINIO, bucket: 'evil' })],
  ['another endpoint', s3(MASKED, { endpoint: 'http://other.internal:9000' })],
  ['another scheme', s3(MASKED, { endpoint: 'https://minio.internal:9000' })],
  ['no endpoint', s3(MASKED)],
  ['another user', s3({ ...MASKED, access_key_id: 'AKIAOTHER' }, MINIO)],
  ['another kind', { ...GCS_DESTINATION, credentials: { ...SERVICE_ACCOUNT, private_key: MASK } }],
])('a stored secret is not sent to %s', async (_name, destination) => {
  await put(s3(S3_STATIC, MINIO))
  const before = admin.log.records.length
  const answer = await put(destination)
  expect(answer.status).toBe(400)
  expect(answer.body).toMatchObject({
    message: expect.stringMatching(
      /^destination\.credentials\.(secret_access_key|private_key) must be sent anew/,
    ) as unknown,
  })
  expect(admin.log.records).toHaveLength(before)
  expect((await put(s3(MASKED, MINIO))).status).toBe(200)
})

test('where none is stored, a secret has to be sent', async () => {
  for (const prepare of [undefined, { kind: 'folder', folder: 'a' }, s3({ kind: 'role', role_arn: ROLE })]) {
    if (prepare !== undefined) expect((await put(prepare)).status).toBeLessThan(300)
    const { status, body } = await put(s3(MASKED))
    expect({ status, body }).toMatchObject({ status: 400, body: { error_code: 'MissingRequiredRequestFieldError' } })
  }
  // Another stream's is not this one's.
  await put(s3(S3_STATIC), 'other')
  expect((await put(s3(MASKED), 'mine')).status).toBe(400)
})

const ROLE = 'arn:aws:iam::123456789012:role/writer'
test('a role is assumed under the project’s own external id, and no other can be named', async () => {
  const externalId = SECRETS.externalIdOf(project.id)
  const made = await put(s3({ kind: 'role', role_arn: ROLE }))
  expect(made.body).toMatchObject({
    external_id: externalId,
    destination: { credentials: { kind: 'role', role_arn: ROLE, external_id: externalId } },
  })
  expect((await put(s3({ kind: 'role', role_arn: ROLE, external_id: externalId }))).status).toBe(200)
  const foreign = SECRETS.externalIdOf((await admin.createProject('foreign')).id)
  const refused = await put(s3({ kind: 'role', role_arn: ROLE, external_id: foreign }))
  expect(refused).toMatchObject({ status: 400 })
  expect((refused.body as { message: string }).message).toContain('destination.credentials.external_id')
})

import { expect, test } from 'vitest'
import { DEPLOYMENT } from '../support/api.ts'
import { openTestAdmin, ORGANIZATION_URL } from '../support/open-admin.ts'

test('no key stands in a log line or in the topic, though keys travel in URLs; changes are noted by ids', async () => {
  const admin = await openTestAdmin()
  const project = await admin.createProject()
  const keys = `/3.0/projects/${project.id}/keys`
  const made = await admin.send('POST', keys, { key: project.master, body: { name: 'k', permitted: ['queries'] } })
  const { key } = made.body as { key: string }
  const wrong = 'B2'.repeat(32)
  for (const url of [
    `${keys}/${key}`,
    `${keys}/${key}/revoke`,
    `${keys}/${wrong}`,
    `${keys}/${key}?api_key=${project.read}`,
  ]) {
    await admin.send('POST', url, { key: project.master, body: { name: 'n' } })
    await admin.send('POST', url, { body: { name: 3 } })
    await admin.send('GET', url, { key: wrong })
    await admin.send('PUT', url, { key: project.master })
    await admin.send('GET', `${url}/%ff`, { key: project.master })
  }
  const replaced = await admin.send('POST', `${ORGANIZATION_URL}/${project.id}/api_keys/write/replace`, {
    key: DEPLOYMENT.organizationKey,
  })
  await admin.send('DELETE', `${keys}/${key}`, { key: project.master })
  const fresh = (replaced.body as { api_keys: { write: string } }).api_keys.write

  const changes = admin.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === 'admin change')
  expect(changes.map(({ action }) => action)).toEqual([
    'project created',
    'key created',
    'key updated',
    'key revoked',
    'key updated',
    'project key replaced',
    'key deleted',
  ])
  for (const change of changes)
    expect(change).toMatchObject({
      projectId: project.id,
      requestId: expect.any(String) as unknown,
      by: expect.any(String) as unknown,
    })

  const topic = admin.log.records.map(({ key, value }) => `${key?.toString('latin1')} ${value?.toString('latin1')}`)
  const everything = [...admin.lines, ...topic].join('\n')
  expect(admin.lines.some((line) => line.includes('request done'))).toBe(true)
  const secrets = [
    project.master,
    project.read,
    project.write,
    key,
    fresh,
    wrong,
    DEPLOYMENT.organizationKey,
    DEPLOYMENT.secret,
  ]
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(20)
    expect(everything.includes(secret)).toBe(false)
  }
})

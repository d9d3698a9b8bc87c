import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { S3_USER } from '../support/bucket-servers.ts'
import { type DeploymentUnderTest, openDeployment } from '../support/deployment.ts'
import { eventually, launchService } from '../support/processes.ts'
import { clickhouseUrl } from '../support/servers.ts'

let deployment: DeploymentUnderTest
let server: Server
let isAway = true
let asked = 0

/** Says yes to every object, whether or not there is one. */
beforeAll(async () => {
  server = createServer((from, to) => {
    asked += 1
    from.resume().once('end', () => {
      if (isAway) to.writeHead(503).end()
      else to.writeHead(from.method === 'DELETE' ? 204 : 200, { etag: '"1"' }).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  deployment = await openDeployment({ brokers: undefined, clickhouseUrl: clickhouseUrl() })
})
afterAll(async () => {
  await deployment.close()
  server.closeAllConnections()
  server.close()
})

test('an exporter waits for its archive, and does not write to one that replaces objects', async () => {
  const env = {
    ...deployment.env,
    TRIBUTARY_ARCHIVE: 's3://any/raw',
    TRIBUTARY_ARCHIVE_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    TRIBUTARY_ARCHIVE_S3_PATH_STYLE: 'true',
    TRIBUTARY_ARCHIVE_S3_ACCESS_KEY_ID: S3_USER.accessKeyId,
    TRIBUTARY_ARCHIVE_S3_SECRET_ACCESS_KEY: S3_USER.secretAccessKey,
  }
  const exporter = await launchService('exporter', { env })
  await eventually('it asks again', async () => exporter.output().includes('it is tried again') && asked > 2)
  isAway = false
  expect(await exporter.exited).toBe(1)
  expect(exporter.output()).toContain(
    'The archive s3://any/raw/ cannot be used: The service replaces objects in spite of `If-None-Match`.',
  )
})

import { readFile, writeFile } from 'node:fs/promises'
import { Validator } from '@seriousme/openapi-schema-validator'
import { expect, test } from 'vitest'
import packageJson from '../../../package.json' with { type: 'json' }
import { describeApi } from '../../../services/shared/http/openapi.ts'
import { wholeServer } from '../../support/whole-server.ts'

const FILE = new URL('../../../schemas/openapi/openapi.json', import.meta.url)

test('the checked-in description is the one that the routes give', async () => {
  const server = await wholeServer()
  const { app } = server
  await app.ready()
  const text = `${JSON.stringify(describeApi(app.describedRoutes, packageJson.version), null, 2)}\n`
  await server.close()
  // After a change of routes: `UPDATE_OPENAPI=1 npx vitest run test/shared/http/openapi.test.ts`
  if (process.env['UPDATE_OPENAPI'] === '1') await writeFile(FILE, text)
  expect(await readFile(FILE, 'utf8')).toBe(text)
})

test('it is valid OpenAPI 3.1', async () => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate(
    JSON.parse(await readFile(FILE, 'utf8')) as Record<string, unknown>,
  )
  expect(errors).toBeUndefined()
  expect(valid).toBe(true)
  expect(validator.version).toBe('3.1')
})

test('every route of every service is described, once', async () => {
  const server = await wholeServer()
  const { app, routes } = server
  await app.ready()
  const described = new Set(app.describedRoutes.map(({ method, url }) => `${method} ${url}`))
  const missing = routes.filter((route) => !route.startsWith('HEAD ') && !described.has(route))
  const ids = app.describedRoutes.map(({ doc }) => doc.operationId)
  await server.close()
  expect(missing).toEqual([])
  expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([])
})

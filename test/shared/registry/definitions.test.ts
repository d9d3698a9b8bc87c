import { expect, test } from 'vitest'
import type { Registry } from '../../../services/shared/registry/registry.ts'
import { DEPLOYMENT } from '../../support/api.ts'
import { openTestRegistry } from '../../support/open-registry.ts'

const project = async (registry: Registry): Promise<string> =>
  (await registry.createProject(DEPLOYMENT.organizationId, { name: 'p', users: [], preferences: {} })).id

test('a definition is there for the next line of code, in a registry opened later, and after the log was compacted', async () => {
  const { registry, log } = await openTestRegistry()
  const id = await project(registry)
  const first = await registry.definitions.put('dataset', id, 'by-day', { a: [1, null, { b: 'x' }] })
  const second = await registry.definitions.put('dataset', id, 'by-day', { a: 2 })
  await registry.definitions.put('saved-query', id, 'by-day', { other: true })
  expect(registry.definitions.get('dataset', id, 'by-day')).toEqual(second)
  expect(second).toMatchObject({ value: { a: 2 }, createdAtMs: first.createdAtMs })
  expect(second.version).not.toBe(first.version)

  log.compact()
  const { registry: later } = await openTestRegistry({ log })
  expect(later.definitions.list('dataset', id)).toEqual([second])
  expect([...later.definitions.all('saved-query')].map(({ value }) => value)).toEqual([{ other: true }])
})

test('listeners hear of changes that another process made, deletions too', async () => {
  const { registry, log } = await openTestRegistry()
  const { registry: other } = await openTestRegistry({ log })
  const heard: string[] = []
  const stop = other.definitions.onChange((kind, _project, name) => heard.push(`${kind} ${name}`))
  const id = await project(registry)
  await registry.definitions.put('saved-query', id, 'q', {})
  await registry.definitions.delete('saved-query', id, 'q')
  await other.definitions.put('saved-query', id, 'after', {})
  stop()
  await other.definitions.put('saved-query', id, 'unheard', {})
  expect(heard).toEqual(['saved-query q', 'saved-query q', 'saved-query after'])
  expect(other.definitions.get('saved-query', id, 'q')).toBeUndefined()
})

test('a project that goes takes its definitions along, and its deletions stay remembered', async () => {
  const { registry } = await openTestRegistry()
  const id = await project(registry)
  await registry.definitions.put('saved-query', id, 'q', {})
  await registry.definitions.put('deletion', id, 'd', {})
  await registry.deleteProject(id)
  expect(registry.definitions.list('saved-query', id)).toEqual([])
  expect(registry.definitions.list('deletion', id)).toHaveLength(1)
})

test('what has no project, no proper name, no room, or no end is refused', async () => {
  const { registry } = await openTestRegistry({ limits: { definitionsPerKindMax: 1 } })
  const id = await project(registry)
  const { definitions } = registry
  await expect(definitions.put('dataset', 'f'.repeat(24), 'd', {})).rejects.toMatchObject({
    code: 'ResourceNotFoundError',
  })
  await expect(definitions.put('dataset', id, 'a/b', {})).rejects.toMatchObject({ code: 'InvalidRequestError' })
  await expect(definitions.put('dataset', id, 'd', { text: 'x'.repeat(600_000) })).rejects.toMatchObject({
    code: 'InvalidRequestError',
  })
  await definitions.put('dataset', id, 'd', {})
  await definitions.put('dataset', id, 'd', { again: true })
  await expect(definitions.put('dataset', id, 'e', {})).rejects.toMatchObject({ code: 'InvalidRequestError' })
  await expect(definitions.delete('dataset', id, 'e')).rejects.toMatchObject({ code: 'ResourceNotFoundError' })
})

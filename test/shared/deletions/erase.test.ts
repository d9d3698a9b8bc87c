import { expect, test } from 'vitest'
import { createErase } from '../../../services/shared/deletions/domain/erase.ts'
import { deletionOf, type DeletionRecord } from '../../../services/shared/deletions/model.ts'
import type { LoggedEvent } from '../../../services/shared/events/event.ts'
import { memoryDefinitions } from '../../support/definitions.ts'

const AT = 1_000_000
const event = (properties: string, more: Partial<LoggedEvent> = {}): LoggedEvent => ({
  project: 'p',
  collection: 'c',
  id: Buffer.alloc(16, 1),
  timestampMs: 500,
  createdAtMs: AT,
  repeatKey: null,
  properties: Buffer.from(properties),
  ...more,
})
const record: DeletionRecord = {
  collection: 'c',
  what: 'events',
  atMs: AT,
  timeframe: null,
  filters: [],
  property: null,
  state: 'done',
  matched: 0,
  startedAtMs: null,
  doneAtMs: null,
}
const after = async (...records: readonly Partial<DeletionRecord>[]) => {
  const { definitions, deletions } = memoryDefinitions(() => AT)
  for (const [i, more] of records.entries()) await definitions.put('deletion', 'p', `d${i}`, { ...record, ...more })
  return createErase(deletions)
}
const eq = (property_name: string, property_value: unknown) => ({ property_name, operator: 'eq', property_value })

test('an event that nothing concerns is handed on as it is, unparsed', async () => {
  const erase = await after({ filters: [eq('a', 1)] })
  for (const other of [
    event('not json', { collection: 'other' }),
    event('not json', { project: 'other' }),
    event('{"a":1}', { createdAtMs: AT + 1 }),
    event('{"a":2}'),
    event('not json'),
  ]) {
    expect(erase(other)).toBe(other)
  }
  expect(erase(event('{"a":1}'))).toBe(null)
})

test('by time of the event, end exclusive', async () => {
  const erase = await after({ timeframe: { startMs: 500, endMs: 600 } })
  expect([499, 500, 599, 600].map((timestampMs) => erase(event('{}', { timestampMs })) === null)).toEqual([
    false,
    true,
    true,
    false,
  ])
})

test('a property goes, with all digits of the others kept', async () => {
  const erase = await after({ what: 'property', property: 'a.b' })
  const text = '{"n":9007199254740993,"f":1.10,"a":{"b":{"x":1},"c":12345678901234567890},"e":{}}'
  expect(String(erase(event(text))?.properties)).toBe(
    '{"n":9007199254740993,"f":1.10,"a":{"c":12345678901234567890},"e":{}}',
  )
  for (const other of ['{"a":5}', '{"a":[{"b":1}]}', '{"b":1}', '{"a":{"c":1}}']) {
    const same = event(other)
    expect(erase(same)).toBe(same)
  }
})

test('deletions act in their order', async () => {
  const byWho = { filters: [eq('who', 'ann')] }
  const noWho = { what: 'property', property: 'who' } as const
  const ann = event('{"who":"ann"}', { createdAtMs: 1 })
  expect((await after({ ...byWho, atMs: 10 }, { ...noWho, atMs: 20 }))(ann)).toBe(null)
  expect(String((await after({ ...noWho, atMs: 10 }, { ...byWho, atMs: 20 }))(ann)?.properties)).toBe('{}')
})

test('a deletion that was forgotten, or that this version cannot read, concerns nothing', async () => {
  const { definitions, deletions } = memoryDefinitions(() => AT)
  const erase = createErase(deletions)
  await definitions.put('deletion', 'p', 'd', { ...record })
  expect(erase(event('{}'))).toBe(null)
  await definitions.delete('deletion', 'p', 'd')
  expect(deletions.isEmpty).toBe(true)
  expect(erase(event('{}'))).not.toBe(null)
  for (const value of [{}, { ...record, what: 'other' }, { ...record, filters: [{ operator: 'new' }] }]) {
    const definition = await definitions.put('deletion', 'p', 'd', value)
    expect(deletionOf(definition)).toBe(null)
    expect(erase(event('{}'))).not.toBe(null)
  }
})

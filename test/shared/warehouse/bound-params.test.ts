import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Session } from 'chdb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BoundParams } from '../../../services/shared/warehouse/bound-params.ts'
import { ChdbEngine } from '../../../services/shared/warehouse/chdb-engine.ts'

const session = (): Session => ({}) as Session
const texts = (values: Readonly<Record<string, string>>) => new Map(Object.entries(values))
const AB = 'SELECT {a:String}, {b:String}'

test('what a session has already is not set again', () => {
  const bound = new BoundParams()
  const [one, other] = [session(), session()]
  const first = bound.statements(one, AB, texts({ a: 'x', b: 'y' }))
  expect(first.text).toBe("SET param_a = 'x', param_b = 'y'; ")
  first.done()
  expect(bound.statements(one, AB, texts({ a: 'x', b: 'y' })).text).toBe('')
  expect(bound.statements(other, AB, texts({ a: 'x', b: 'y' })).text).toBe(first.text)
  const changed = bound.statements(one, AB, texts({ a: 'x', b: 'z' }))
  expect(changed.text).toBe("SET param_b = 'z'; ")
  changed.done()
  expect(bound.statements(one, AB, texts({ a: 'x', b: 'y' })).text).toBe("SET param_b = 'y'; ")
})

test('what nobody knows whether the session has it is set again', () => {
  const bound = new BoundParams()
  const one = session()
  bound.statements(one, AB, texts({ a: 'x', b: 'y' })).done()
  // Of this one it is never heard whether it was run.
  bound.statements(one, AB, texts({ a: 'other', b: 'y' }))
  expect(bound.statements(one, AB, texts({ a: 'x', b: 'y' })).text).toBe("SET param_a = 'x'; ")
})

test('long values are not kept', () => {
  const bound = new BoundParams()
  const one = session()
  const long = 'x'.repeat(257)
  for (let i = 0; i < 2; i += 1) {
    const binding = bound.statements(one, 'SELECT {a:String}', texts({ a: long }))
    expect(binding.text).toBe(`SET param_a = '${long}'; `)
    binding.done()
  }
})

test('a placeholder without a value is refused, also where the session has one of before', () => {
  const bound = new BoundParams()
  const one = session()
  bound.statements(one, AB, texts({ a: 'x', b: 'y' })).done()
  expect(() => bound.statements(one, AB, texts({ a: 'x' }))).toThrow('A query parameter has no value.')
})

const folder = mkdtempSync(join(tmpdir(), 'tributary-bound-'))
let engine: ChdbEngine
beforeAll(() => {
  engine = new ChdbEngine({ folder, readSessions: 1 })
})
afterAll(async () => {
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
})

test('each statement of a session is answered with its own values', async () => {
  const ask = async (a: string, b: string, sql = AB): Promise<string> => {
    const statement = { sql, params: texts({ a, b }), settings: {}, format: 'TSV', queryId: 'q', lane: 'ask' } as const
    return (await engine.run(statement)).bytes.toString().trim()
  }
  expect(await ask('x', 'y')).toBe('x\ty')
  expect(await ask('x', 'y')).toBe('x\ty')
  expect(await ask('z', 'y')).toBe('z\ty')
  // A statement that fails has set its values, and its session is no more.
  await expect(ask('lost', 'lost', 'SELECT {a:String}, {b:String}, throwIf(1)')).rejects.toThrow('throwIf')
  expect(await ask('z', 'y')).toBe('z\ty')
  const streamed: Buffer[] = []
  const statement = { sql: AB, params: texts({ a: 'x', b: 's' }), settings: {}, format: 'TSV', queryId: 's' } as const
  for await (const chunk of engine.stream({ ...statement, lane: 'ask' })) streamed.push(chunk)
  expect(Buffer.concat(streamed).toString().trim()).toBe('x\ts')
  expect(await ask('x', 'y')).toBe('x\ty')
})

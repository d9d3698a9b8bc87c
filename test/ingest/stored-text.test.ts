import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { openChdbWarehouse } from '../../services/shared/warehouse/chdb.ts'
import type { Warehouse } from '../../services/shared/warehouse/port.ts'
import { RowBinaryWriter } from '../../services/shared/warehouse/row-binary.ts'
import { KEYS, openIngest, PROJECT } from '../support/ingest-app.ts'

async function openWarehouse(): Promise<Warehouse> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-text-'))
  const warehouse = await openChdbWarehouse({ folder, readSessions: 1 })
  onTestFinished(async () => {
    await warehouse.close()
    await rm(folder, { recursive: true, force: true })
  })
  await warehouse.command(
    'CREATE TABLE stored (properties JSON(max_dynamic_paths = 64), body String) ENGINE = MergeTree ORDER BY tuple()',
  )
  return warehouse
}

async function insert(warehouse: Warehouse, texts: readonly Buffer[], token: string): Promise<void> {
  const rows = new RowBinaryWriter(1_000)
  for (const text of texts) {
    rows.bytes(text)
    rows.bytes(text)
  }
  await warehouse.insert({
    table: 'stored',
    columns: ['properties', 'body'],
    rowBinary: rows.finish(),
    rowCount: texts.length,
    token,
    deadlineMs: performance.now() + 60_000,
    signal: new AbortController().signal,
  })
}

const ODD_EVENTS = [
  '{"a":"\\ud800","b":"x\\udc00y","c\\ud800":1}',
  '{"a":"\\u0000","b\\u0000":"\\u001f","c":"\\u2028"}',
  '{"a":9223372036854775807,"b":-9223372036854775808,"c":9007199254740993}',
  '{"a":1e20,"b":-1e20,"c":1e21,"d":1.7976931348623157e308,"e":5e-324,"f":123456789012345678901234.5,"g":-0}',
  '{"a":[1,"x",null,true,{"b":1},[1,[2]],9007199254740993],"b":[],"c":{},"d":[{}],"e":[null]}',
  '{"__proto__":{"x":1},"constructor":1,"toString":"x","$a":1,"a`b":1,"a\\"b":1,"a\\\\b":1,"a\\nb":1,"[]":1,"😀":1}',
  `{"a":${'{"a":'.repeat(98)}1${'}'.repeat(98)}}`,
  `{"a":${'[{"b":'.repeat(49)}1${'}]'.repeat(49)}}`,
  JSON.stringify(Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`p${i}`, i]))),
  JSON.stringify({ ['n'.repeat(256)]: 'x'.repeat(9_999) }),
  '{"a":1,"a":{"b":2}}',
  '{"keen":{"location":{"coordinates":[1.5,-2]},"uniqueness_token":"t"}}',
]

test('ClickHouse takes the text of every event that is accepted, the odd ones and generated ones', async () => {
  const warehouse = await openWarehouse()
  await using ingest = await openIngest()
  const send = async (payload: string) =>
    ingest.app.inject({
      method: 'POST',
      url: `/3.0/projects/${PROJECT}/events/c`,
      payload,
      headers: { authorization: KEYS.write },
    })
  for (const payload of ODD_EVENTS) expect((await send(payload)).statusCode, payload.slice(0, 100)).toBe(201)
  const generated = fc.sample(
    fc.dictionary(
      fc
        .string({ unit: 'binary', minLength: 1, maxLength: 20 })
        .filter((name) => !name.includes('.') && name !== 'keen'),
      fc.jsonValue({ noUnicodeString: false }),
    ),
    { numRuns: 900, seed: 7 },
  )
  let accepted = ODD_EVENTS.length
  for (const event of generated) accepted += (await send(JSON.stringify(event))).statusCode === 201 ? 1 : 0
  expect(accepted).toBeGreaterThan(300)

  const texts = (await ingest.taken()).map(({ properties }) => properties)
  expect(texts).toHaveLength(accepted)
  for (const [i, text] of texts.slice(0, ODD_EVENTS.length).entries()) await insert(warehouse, [text], `odd-${i}`)
  await insert(warehouse, texts.slice(ODD_EVENTS.length), 'generated')
})

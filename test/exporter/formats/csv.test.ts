import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { fileOf, uuid } from './file-events.ts'

const KEEN = 'keen.timestamp,keen.created_at,keen.id'
const keen = (second: number): string =>
  `2025-01-01T00:00:0${second}.000Z,2025-01-01T00:00:0${second}.005Z,${uuid(second)}`

async function csvOf(texts: readonly string[]) {
  const { bytes, kept } = await fileOf('csv.gz', texts)
  return { text: gunzipSync(bytes).toString(), kept }
}

test('an empty string is quoted; null and missing are empty', async () => {
  expect(await csvOf(['{"a":"","b":null,"c":1.10}', '{"b":"x"}', '{}'])).toEqual({
    text: `${KEEN},a,b,c\r\n${keen(0)},"",,1.1\r\n${keen(1)},,x,\r\n${keen(2)},,,\r\n`,
    kept: {},
  })
})

test('quotes, separators and line ends', async () => {
  const { text } = await csvOf(['{"a":"x,y","b":"say \\"hi\\"","c":"1\\r\\n2","d":"\\r","e":"\\n"," f,":" "}'])
  expect(text).toBe(`${KEEN}," f,",a,b,c,d,e\r\n${keen(0)}, ,"x,y","say ""hi""","1\r\n2","\r","\n"\r\n`)
})

test('nested names are dotted; lists are JSON text; numbers keep their digits', async () => {
  expect(
    await csvOf([
      '{"user":{"plan":"pro","tags":["a",9007199254740993]},"big":9007199254740993,"on":true}',
      '{"user":-0,"":1}',
    ]),
  ).toEqual({
    text:
      `${KEEN},big,on,user,user.plan,user.tags,_rest\r\n` +
      `${keen(0)},9007199254740993,true,,pro,"[""a"",9007199254740993]",\r\n` +
      `${keen(1)},,,-0,,,"{"""":1}"\r\n`,
    kept: { array: 1, unnamed: 1 },
  })
})

test('no events are a header', async () => {
  expect(await csvOf([])).toEqual({ text: `${KEEN}\r\n`, kept: {} })
})

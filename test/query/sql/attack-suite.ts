import type { Response } from 'light-my-request'
import { expect, test } from 'vitest'
import { SECRET } from './attack-data.ts'
import { ATTACKS } from './attacks.ts'
import { HOSTILE } from './hostile.ts'

/** Words of what is behind: none of them may come out in a refusal. */
const INSIDE =
  /\bproject = |event_properties|default\.|DB::|Code: |dynamicElement|JSONExtractRaw|\{p\d+:|\br\d+\.|__table/

/** Each attack is refused with its place, or answers without a row that is not the key's. */
export function attackSuite(post: (body: object) => Promise<Response>): void {
  for (const [name, attacks] of Object.entries(ATTACKS)) {
    test(`refused or harmless: ${name}`, async () => {
      for (const { sql, isRefused, parameters } of attacks) {
        const answer = await post({ query: sql, ...(parameters && { parameters }) })
        const about = `${sql.slice(0, 200)} -> ${answer.statusCode} ${answer.body.slice(0, 300)}`
        expect(answer.statusCode, about).toBe(isRefused ? 400 : 200)
        if (!isRefused) {
          expect(answer.body, about).not.toContain(SECRET)
          expect(() => JSON.parse(answer.body) as unknown, about).not.toThrow()
          continue
        }
        expectRefusal(answer, sql, about)
      }
    })
  }
  test('refused or harmless: whatever else was thought of', async () => {
    const answers = { refused: 0, given: 0 }
    for (const sql of HOSTILE) {
      const answer = await post({ query: sql })
      const about = `${sql.slice(0, 200)} -> ${answer.statusCode} ${answer.body.slice(0, 300)}`
      if (answer.statusCode === 200) {
        answers.given++
        expect(answer.body, about).not.toContain(SECRET)
        expect(answer.body, about).not.toMatch(/MergeTree|root:|bbbbbbbb/)
      } else {
        answers.refused++
        expect(answer.statusCode, about).toBe(400)
        expectRefusal(answer, sql, about)
      }
    }
    expect(answers.refused).toBeGreaterThan(80)
  })
}

/** With the code, the place, and no word of ours. */
function expectRefusal(answer: Response, sql: string, about: string): void {
  const body = answer.json<{ error_code: string; message: string; line: number; column: number }>()
  expect(body.error_code, about).toBe('InvalidSqlError')
  expect(body.line, about).toBeGreaterThan(0)
  expect(body.column, about).toBeGreaterThan(0)
  expect(body.message, about).toContain(`line ${body.line}, column ${body.column}`)
  // What the caller wrote may be said again.
  const [inside = ''] = INSIDE.exec(body.message) ?? []
  expect(sql, about).toContain(inside)
}

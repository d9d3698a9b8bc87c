import type { Session } from 'chdb'
import { AppError } from '../errors.ts'
import { placeholders, quoteString } from './sql-text.ts'

/** Longer values are bound each time rather than kept in memory. */
const KEPT_LENGTH_MAX = 256
/** Names are `p0`, `p1`, ... and a few more: more than these are not kept. */
const KEPT_MAX = 200

export interface Binding {
  /** A `SET param_x = '...'; ` statement, or nothing where the session has the values. */
  readonly text: string
  /** To be called once the session has run `text`. */
  readonly done: () => void
}

/**
 * Binds the values of statements' placeholders in chDB sessions. A session keeps what was set before: what it has already is
 * not set again, which is a good part of what a short question takes. For the same reason a placeholder without a value
 * must be refused here: it would silently take the value of an earlier query, which may have been somebody else's.
 */
export class BoundParams {
  readonly #kept = new WeakMap<Session, Map<string, string>>()

  /** `texts` are in ClickHouse's parameter encoding. Throws WAREHOUSE_REJECTED when one is missing. */
  statements(session: Session, sql: string, texts: ReadonlyMap<string, string>): Binding {
    const kept = this.#kept.get(session) ?? new Map<string, string>()
    this.#kept.set(session, kept)
    const changed: [name: string, text: string][] = []
    for (const name of placeholders(sql)) {
      const text = texts.get(name)
      if (text === undefined) {
        throw new AppError('WAREHOUSE_REJECTED', 'A query parameter has no value.', { details: { parameter: name } })
      }
      if (kept.get(name) !== text) changed.push([name, text])
    }
    if (changed.length === 0) return { text: '', done: () => undefined }
    // Until the session has taken them, nobody knows which it has.
    for (const [name] of changed) kept.delete(name)
    return {
      text: `SET ${changed.map(([name, text]) => `param_${name} = ${quoteString(text)}`).join(', ')}; `,
      done: () => {
        for (const [name, text] of changed) {
          if (text.length <= KEPT_LENGTH_MAX && kept.size < KEPT_MAX) kept.set(name, text)
        }
      },
    }
  }
}

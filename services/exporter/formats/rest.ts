import type { JsonValue } from './exact-json.ts'

/** Null prototypes: a property may be named `__proto__`. */
interface Growing {
  [name: string]: JsonValue | Growing
}

/** What of one event has no column, as an object of the same shape as the event. */
export class Rest {
  #object: Growing | undefined

  add(path: readonly string[], value: JsonValue): void {
    let object = (this.#object ??= emptyObject())
    for (const name of path.slice(0, -1)) {
      // Values stand at the ends of paths, so what is on the way to another value is an object of this class.
      object = (object[name] ??= emptyObject()) as Growing
    }
    object[path.at(-1) ?? ''] = value
  }

  /** JSON text of what was added since the last time; null when it is nothing. */
  take(): string | null {
    if (this.#object === undefined) return null
    const text = JSON.stringify(this.#object)
    this.#object = undefined
    return text
  }
}

const emptyObject = (): Growing => Object.create(null) as Growing

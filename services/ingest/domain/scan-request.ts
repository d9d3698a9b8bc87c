import { collectionNameFault } from './collection-name.ts'
import { NameSet } from './name-set.ts'
import type { EventRules } from './prepare-event.ts'
import { parseTimestamp } from './timestamp.ts'

export interface ScanRules extends EventRules {
  readonly eventsPerRequestMax: number
}

/** Where an event's text stands in the request, without its property `keen`: `from` to `cutFrom`, and `cutTo` to `to`. */
export interface EventSpan {
  readonly bytes: Buffer
  readonly from: number
  readonly cutFrom: number
  readonly cutTo: number
  readonly to: number
  /** NaN: when it was received. */
  readonly timestampMs: number
}

const QUOTE = 0x22
const DOLLAR = 0x24
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const BACKSLASH = 0x5c
const LETTER_U = 0x75
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

const FAILED = -1
const NAME_BYTES_MAX = 256
const STRING_BYTES_MAX = 9_999
const SAFE_DIGITS = 15
/** The letters after a backslash that stand for one character. */
const SHORT_ESCAPES = new Set(Buffer.from('"\\/bfnrt'))
const KEEN = Buffer.from('keen')
const TIMESTAMP = Buffer.from('timestamp')

/**
 * Reads a recording request in one pass over its bytes, for requests in which nothing is out of the ordinary: then
 * each event's text can go to the log as it stands, and no object is made. It knows a part of what is allowed, and
 * leaves everything else (a fault of any kind, names with escapes or given twice, `keen` with more than a timestamp,
 * what could be a placeholder, numbers of many digits or with an exponent) to the slower, whole rules of `EventPreparer`. What it takes, they take.
 */
export class RequestScanner {
  readonly #rules: ScanRules
  readonly #names: NameSet
  #bytes: Buffer = Buffer.alloc(0)
  #position = 0
  #events: EventSpan[] = []
  #collections: { readonly collection: string; readonly events: readonly EventSpan[] }[] = []

  constructor(rules: ScanRules) {
    this.#rules = rules
    this.#names = new NameSet(rules.propertiesMax)
  }

  /**
   * The events of a request by collection, in its order; `collection` is where a single one goes, undefined for a bulk
   * request. Undefined when the request has to be read by the whole rules. `body` must be valid UTF-8.
   */
  scan(
    body: Buffer,
    collection: string | undefined,
  ): readonly { readonly collection: string; readonly events: readonly EventSpan[] }[] | undefined {
    this.#bytes = body
    this.#position = 0
    this.#events = []
    this.#collections = []
    const isGood = this.#request(collection)
    this.#bytes = Buffer.alloc(0)
    return isGood ? this.#collections : undefined
  }

  #request(collection: string | undefined): boolean {
    this.#space()
    if (collection !== undefined) {
      if (collectionNameFault(collection) !== undefined || !this.#event()) return false
      this.#collections.push({ collection, events: this.#events })
    } else if (!this.#batch()) {
      return false
    }
    this.#space()
    return this.#position === this.#bytes.length
  }

  #batch(): boolean {
    if (!this.#take(OPEN_OBJECT)) return false
    this.#space()
    if (this.#take(CLOSE_OBJECT)) return true
    let count = 0
    do {
      this.#space()
      const from = this.#position + 1
      if (this.#name(0) === FAILED) return false
      const collection = this.#bytes.toString('utf8', from, this.#position - 1)
      if (collectionNameFault(collection) !== undefined) return false
      if (this.#collections.some((earlier) => earlier.collection === collection)) return false
      this.#events = []
      if (!this.#colon() || !this.#eventArray()) return false
      this.#collections.push({ collection, events: this.#events })
      count += this.#events.length
      if (count > this.#rules.eventsPerRequestMax) return false
      this.#space()
    } while (this.#take(COMMA))
    return this.#take(CLOSE_OBJECT)
  }

  #eventArray(): boolean {
    if (!this.#take(OPEN_ARRAY)) return false
    this.#space()
    if (this.#take(CLOSE_ARRAY)) return true
    do {
      this.#space()
      if (!this.#event()) return false
      this.#space()
    } while (this.#take(COMMA))
    return this.#take(CLOSE_ARRAY)
  }

  #event(): boolean {
    const bytes = this.#bytes
    const from = this.#position
    this.#names.clear()
    if (!this.#take(OPEN_OBJECT)) return false
    let cutFrom = this.#position
    let cutTo = cutFrom
    let timestampMs = Number.NaN
    this.#space()
    if (!this.#take(CLOSE_OBJECT)) {
      const object = this.#names.object()
      const first = this.#position
      let memberFrom = first
      for (;;) {
        this.#space()
        const nameFrom = this.#position + 1
        if (this.#name(object) === FAILED || !this.#colon()) return false
        if (equals(bytes, nameFrom, this.#position, KEEN)) {
          timestampMs = this.#keen()
          if (Number.isNaN(timestampMs)) return false
          // The comma before it goes with it; the first member takes the one after it along.
          cutFrom = memberFrom
          cutTo = this.#position
          this.#space()
          if (memberFrom === first && bytes[this.#position] === COMMA) cutTo = this.#position + 1
        } else if (!this.#value(1)) {
          return false
        }
        this.#space()
        memberFrom = this.#position
        if (!this.#take(COMMA)) break
      }
      if (!this.#take(CLOSE_OBJECT)) return false
    }
    const to = this.#position
    if (to - from > this.#rules.eventBytesMax) return false
    this.#events.push({ bytes, from, cutFrom, cutTo, to, timestampMs })
    return true
  }

  /** Only with a timestamp, and nothing else: its time. NaN otherwise. */
  #keen(): number {
    if (!this.#take(OPEN_OBJECT)) return Number.NaN
    this.#space()
    const nameFrom = this.#position + 1
    if (this.#name(this.#names.object()) === FAILED) return Number.NaN
    if (!equals(this.#bytes, nameFrom, this.#position - 1, TIMESTAMP) || !this.#colon()) return Number.NaN
    const textFrom = this.#position + 1
    if (this.#bytes[this.#position] !== QUOTE || !this.#string()) return Number.NaN
    const timestampMs = parseTimestamp(this.#bytes.toString('latin1', textFrom, this.#position - 1))
    this.#space()
    return timestampMs !== undefined && this.#take(CLOSE_OBJECT) ? timestampMs : Number.NaN
  }

  #value(depth: number): boolean {
    const byte = this.#bytes[this.#position]
    if (byte === QUOTE) return this.#string()
    if (byte === OPEN_OBJECT) return this.#object(depth + 1)
    if (byte === OPEN_ARRAY) return this.#array(depth + 1)
    if (byte === 0x74) return this.#literal('true')
    if (byte === 0x66) return this.#literal('false')
    if (byte === 0x6e) return this.#literal('null')
    return this.#number()
  }

  #object(depth: number): boolean {
    if (depth > this.#rules.depthMax) return false
    const object = this.#names.object()
    this.#position += 1
    this.#space()
    if (this.#take(CLOSE_OBJECT)) return true
    do {
      this.#space()
      if (this.#name(object) === FAILED || !this.#colon() || !this.#value(depth)) return false
      this.#space()
    } while (this.#take(COMMA))
    return this.#take(CLOSE_OBJECT)
  }

  #array(depth: number): boolean {
    if (depth > this.#rules.depthMax) return false
    this.#position += 1
    this.#space()
    if (this.#take(CLOSE_ARRAY)) return true
    do {
      this.#space()
      if (!this.#value(depth)) return false
      this.#space()
    } while (this.#take(COMMA))
    return this.#take(CLOSE_ARRAY)
  }

  /** A name that `object` (0: not to be remembered) does not have yet. Moves behind its closing quote. */
  #name(object: number): number {
    const bytes = this.#bytes
    const from = this.#position + 1
    if (bytes[this.#position] !== QUOTE) return FAILED
    let hash = object
    for (let i = from; i < bytes.length; i += 1) {
      const byte = bytes[i] as number
      if (byte === QUOTE) {
        if (i === from || i - from > NAME_BYTES_MAX) return FAILED
        this.#position = i + 1
        return object === 0 || this.#names.add(hash) ? i : FAILED
      }
      if (byte === BACKSLASH || byte < 0x20 || (byte === DOT && object !== 0)) return FAILED
      hash = Math.imul(hash ^ byte, 16_777_619)
    }
    return FAILED
  }

  #string(): boolean {
    const bytes = this.#bytes
    const from = this.#position + 1
    if (mayBePlaceholder(bytes, from)) return false
    for (let i = from; i < bytes.length; i += 1) {
      const byte = bytes[i] as number
      if (byte === QUOTE) {
        this.#position = i + 1
        return i - from <= STRING_BYTES_MAX
      }
      if (byte < 0x20) return false
      if (byte === BACKSLASH) {
        i += 1
        if (isCharacterByNumber(bytes, i)) i += 4
        else if (!SHORT_ESCAPES.has(bytes[i] ?? 0)) return false
      }
    }
    return false
  }

  #number(): boolean {
    const bytes = this.#bytes
    let i = this.#position
    if (bytes[i] === MINUS) i += 1
    const from = i
    while (isDigit(bytes[i])) i += 1
    const digits = i - from
    if (digits === 0 || digits > SAFE_DIGITS || (digits > 1 && bytes[from] === ZERO)) return false
    if (bytes[i] === DOT) {
      const fraction = i + 1
      i = fraction
      while (isDigit(bytes[i])) i += 1
      if (i === fraction) return false
    }
    this.#position = i
    return true // an exponent fails as whatever should follow a value
  }

  #literal(text: string): boolean {
    const from = this.#position
    for (let i = 0; i < text.length; i += 1) if (this.#bytes[from + i] !== text.charCodeAt(i)) return false
    this.#position = from + text.length
    return true
  }

  #colon(): boolean {
    this.#space()
    if (!this.#take(COLON)) return false
    this.#space()
    return true
  }

  #take(byte: number): boolean {
    if (this.#bytes[this.#position] !== byte) return false
    this.#position += 1
    return true
  }

  #space(): void {
    for (;;) {
      const byte = this.#bytes[this.#position]
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return
      this.#position += 1
    }
  }
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= ZERO && byte <= NINE

/** A string that begins with a dollar sign and a brace, or with escapes that could stand for them. */
function mayBePlaceholder(bytes: Buffer, from: number): boolean {
  const first = bytes[from]
  if (first === DOLLAR) return bytes[from + 1] === OPEN_OBJECT || bytes[from + 1] === BACKSLASH
  return first === BACKSLASH && bytes[from + 1] === LETTER_U && bytes.toString('latin1', from + 2, from + 6) === '0024'
}

const isHexDigit = (byte: number | undefined): boolean =>
  isDigit(byte) || (byte !== undefined && (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66)

/** `u` and four hexadecimal digits, of a whole character: those from d800 to dfff are halves, and may stand alone. */
function isCharacterByNumber(bytes: Buffer, from: number): boolean {
  if (bytes[from] !== LETTER_U) return false
  for (let i = from + 1; i <= from + 4; i += 1) if (!isHexDigit(bytes[i])) return false
  return ((bytes[from + 1] ?? 0) | 0x20) !== 0x64 || (bytes[from + 2] ?? 0) < 0x38
}

function equals(bytes: Buffer, from: number, to: number, text: Buffer): boolean {
  if (to - from < text.length) return false
  for (let i = 0; i < text.length; i += 1) if (bytes[from + i] !== text[i]) return false
  return bytes[from + text.length] === QUOTE
}

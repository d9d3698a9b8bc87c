import { isUtf8 } from 'node:buffer'
import { AppError } from '../errors.ts'

/** Deep enough for any event or query, shallow enough for every recursion over what was parsed. */
const DEPTH_MAX = 256

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** True when brackets nest deeper than `depthMax` anywhere outside strings. Reads bytes once, allocates nothing. */
export function isDeeperThan(json: Buffer, depthMax: number): boolean {
  let depth = 0
  for (let i = 0; i < json.length; i += 1) {
    const byte = json[i]
    if (byte === QUOTE) {
      for (i += 1; i < json.length && json[i] !== QUOTE; i += 1) if (json[i] === BACKSLASH) i += 1
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1
      if (depth > depthMax) return true
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1
    }
  }
  return false
}

/**
 * The text of a JSON body, whatever its Content-Type said. Throws InvalidJSONError when there is none or it is not
 * UTF-8; a byte order mark is left out.
 */
export function jsonText(body: Buffer): string {
  if (body.length === 0) throw new AppError('InvalidJSONError', 'The request needs a JSON body.')
  if (!isUtf8(body)) throw new AppError('InvalidJSONError', 'The request body is not valid UTF-8.')
  const start = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0
  return body.toString('utf8', start)
}

/** What a JSON text says. Throws InvalidJSONError; the message never quotes the text. */
export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new AppError('InvalidJSONError', 'The JSON is not valid.')
  }
}

/**
 * A body as a value that is safe to recurse over: at most `depthMax` levels. Throws InvalidJSONError for a body that
 * is empty, not UTF-8, not JSON or nested deeper.
 */
export function parseJson(body: Buffer, depthMax: number = DEPTH_MAX): unknown {
  const text = jsonText(body)
  if (isDeeperThan(body, depthMax)) {
    throw new AppError('InvalidJSONError', `The JSON is nested deeper than ${depthMax} levels.`)
  }
  return parseJsonText(text)
}

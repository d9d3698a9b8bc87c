import { AppError } from '../errors.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const OPEN_BRACKET = 0x5b
const CLOSE_BRACE = 0x7d
const CLOSE_BRACKET = 0x5d

/**
 * Parses a request's JSON text. The nesting is bounded before anything recurses over the result.
 * Throws InvalidJSONError. An empty body is not JSON.
 */
export function parseJson(body: Buffer, depthMax = 200): unknown {
  if (isDeeper(body, depthMax))
    throw new AppError('InvalidJSONError', `The JSON is nested deeper than ${depthMax} levels.`)
  try {
    return JSON.parse(body.toString('utf8')) as unknown
  } catch {
    throw new AppError('InvalidJSONError', 'The body is not valid JSON.')
  }
}

/** Looks at brackets outside strings only; text that is not JSON may be judged either way. */
function isDeeper(body: Buffer, depthMax: number): boolean {
  // Counting the opening brackets natively first spares nearly every body the walk.
  if (opensAtMost(body, depthMax)) return false
  let depth = 0
  let inString = false
  for (let i = 0; i < body.length; i += 1) {
    const byte = body[i]
    if (inString) {
      if (byte === BACKSLASH) i += 1
      else if (byte === QUOTE) inString = false
    } else if (byte === QUOTE) inString = true
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1
      if (depth > depthMax) return true
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1
  }
  return false
}

function opensAtMost(body: Buffer, most: number): boolean {
  let seen = 0
  for (const bracket of [OPEN_BRACE, OPEN_BRACKET]) {
    for (let at = body.indexOf(bracket); at !== -1; at = body.indexOf(bracket, at + 1)) {
      seen += 1
      if (seen > most) return false
    }
  }
  return true
}

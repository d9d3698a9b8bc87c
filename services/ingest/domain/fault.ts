import type { ErrorCode } from '../../shared/errors.ts'

/** Why an event cannot be taken. A bad event is an outcome, counted and told to the caller, and never an exception. */
export interface Fault {
  readonly code: ErrorCode
  /** A sentence that names the rule, and what broke it. */
  readonly message: string
}

const QUOTED_CHARACTERS_MAX = 300

/** What a caller wrote, short enough to stand in a message. */
export const quoted = (text: string): string =>
  `'${text.length > QUOTED_CHARACTERS_MAX ? `${text.slice(0, QUOTED_CHARACTERS_MAX).toWellFormed()}…` : text}'`

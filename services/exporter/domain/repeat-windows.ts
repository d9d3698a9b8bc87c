import { REPEAT_WINDOW_MS } from '../../shared/events/event.ts'

/**
 * What was kept is remembered by windows of the log's own clock, each `REPEAT_WINDOW_MS` long: it goes forward for all
 * events of a partition alike, so that one event with a wrong time of receipt makes nobody forget the others, and a
 * partition that is far behind forgets nothing that another has passed.
 */
export const windowOf = (appendedMs: number): number => Math.floor(appendedMs / REPEAT_WINDOW_MS)

/**
 * The oldest window in which an event appended at `appendedMs` looks for what it may repeat. Two full windows before its
 * own: receipts within `REPEAT_WINDOW_MS` of each other are found as long as receipt and append are not weeks apart.
 */
export const lookUpFrom = (appendedMs: number): number => windowOf(appendedMs) - 2

/** The oldest window that is kept once a range was appended at `appendedMs`; one to spare, for a clock that is set back. */
export const rememberFrom = (appendedMs: number): number => lookUpFrom(appendedMs) - 1

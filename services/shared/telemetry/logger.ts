import { type Logger, pino } from 'pino'

export type { Logger }

/** What must never stand in a line, should an object that holds it be logged by mistake. */
const SECRET_PATHS = ['secret', 'key', 'api_key', 'authorization', '*.secret', '*.key', '*.api_key', '*.authorization']

/** One JSON object a line, on standard output: a fixed message and fields; never an event's body, never a key. */
export function createLogger(settings: { readonly level: string; readonly service: string }): Logger {
  return pino({
    level: settings.level,
    base: { service: settings.service, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRET_PATHS, censor: '[secret]' },
  })
}

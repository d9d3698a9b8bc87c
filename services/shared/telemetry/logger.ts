import { pino, type DestinationStream, type Logger, type LoggerOptions } from 'pino'

export type { Logger } from 'pino'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** Where a key could stand by mistake. Censored wherever they come up to two levels deep. */
const SECRET_FIELDS = ['authorization', 'api_key', 'apiKey', 'secret', 'password']

/**
 * A logger of JSON lines to standard output (or `destination`). A line is a fixed message and fields; keys and the
 * bodies of events are never among them, and the fields that could hold a key are censored all the same.
 */
export function createLogger(
  settings: { readonly level: LogLevel; readonly service: string },
  destination?: DestinationStream,
): Logger {
  const options: LoggerOptions = {
    level: settings.level,
    base: { service: settings.service },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[censored]' },
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}

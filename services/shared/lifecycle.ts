/**
 * How a process lives: what is opened in order is closed in reverse, whatever ends it.
 *
 *   starting -> running -> draining -> gone
 *
 * SIGTERM or SIGINT, or a background task that ends by an error, begin the drain, once. A second signal, or the drain's
 * deadline, ends the process at once; so does an error that nobody caught, since what it left behind is unknown and the
 * log makes a restart safe.
 */

export interface Life {
  /** Open a thing, then `defer` or `adopt` its closing here. */
  readonly opened: AsyncDisposableStack
  /** Aborts when the drain begins. */
  readonly signal: AbortSignal
  /** Watches a task that should live as long as the process; its error begins the drain and the exit code is 1. */
  background(name: string, task: Promise<void>): void
}

export interface LifeLog {
  info(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** The parts of `process` that matter here; tests bring their own. */
export interface ProcessLike {
  on(event: 'SIGTERM' | 'SIGINT', listener: (signal: NodeJS.Signals) => void): unknown
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (error: unknown) => void): unknown
  off(event: 'SIGTERM' | 'SIGINT', listener: (signal: NodeJS.Signals) => void): unknown
  off(event: 'uncaughtException' | 'unhandledRejection', listener: (error: unknown) => void): unknown
  exit(code: number): void
}

export interface LifeOptions {
  readonly drainMs: number
  readonly log: LifeLog
  readonly process: ProcessLike
}

/**
 * Runs `start`, which opens everything and returns; then waits for the end. Resolves with the exit code, everything
 * closed. Rejects with `start`'s error, having closed what it had opened.
 */
export async function live(options: LifeOptions, start: (life: Life) => Promise<void>): Promise<number> {
  const { log, process } = options
  const stop = new AbortController()
  const ended = Promise.withResolvers<number>()
  const opened = new AsyncDisposableStack()
  let failed = false

  const onSignal = (signal: NodeJS.Signals): void => {
    if (stop.signal.aborted) {
      log.error({ signal }, 'second signal: leaving at once')
      return process.exit(1)
    }
    log.info({ signal }, 'stopping')
    stop.abort()
    ended.resolve(0)
  }
  const onUncaught = (error: unknown): void => {
    log.error({ err: error }, 'uncaught error: leaving at once')
    process.exit(1)
  }
  const fail = (name: string, error: unknown): void => {
    if (stop.signal.aborted) log.error({ err: error, task: name }, 'task failed while stopping')
    else log.error({ err: error, task: name }, 'task failed: stopping')
    stop.abort()
    ended.resolve(1)
    failed = true
  }

  const watch = async (name: string, task: Promise<void>): Promise<void> => {
    try {
      await task
      if (!stop.signal.aborted) fail(name, new Error(`${name} ended by itself`))
    } catch (error) {
      fail(name, error)
    }
  }

  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('uncaughtException', onUncaught)
  process.on('unhandledRejection', onUncaught)
  try {
    const life: Life = {
      opened,
      signal: stop.signal,
      background: (name, task) => {
        void watch(name, task)
      },
    }
    try {
      await start(life)
    } catch (error) {
      stop.abort()
      await opened.disposeAsync()
      throw error
    }
    const code = await ended.promise
    const drained = await withinDeadline(opened.disposeAsync(), options)
    return drained && !failed ? code : 1
  } finally {
    process.off('SIGTERM', onSignal)
    process.off('SIGINT', onSignal)
    process.off('uncaughtException', onUncaught)
    process.off('unhandledRejection', onUncaught)
  }
}

async function withinDeadline(closing: Promise<void>, { drainMs, log, process }: LifeOptions): Promise<boolean> {
  const timer = setTimeout(() => {
    log.error({ drain_ms: drainMs }, 'the drain took too long: leaving at once')
    process.exit(1)
  }, drainMs)
  try {
    await closing
    log.info({}, 'stopped')
    return true
  } catch (error) {
    log.error({ err: error }, 'closing failed')
    return false
  } finally {
    clearTimeout(timer)
  }
}

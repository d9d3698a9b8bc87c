import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'

/** Characters of a process's output that are shown when it ends as nobody told it to. */
const OUTPUT_TOLD = 4_000
const MAIN = join(import.meta.dirname, '../../services/main.ts')

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** Asks `check` again and again until it gives something else than undefined or false; an error counts as not yet. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + withinMs
  let last: unknown
  while (performance.now() < deadline) {
    try {
      const value = await check()
      if (value !== undefined && value !== false) return value
    } catch (error) {
      last = error
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`not within ${withinMs} ms: ${what}`, { cause: last })
}

export interface ServiceProcess {
  readonly command: string
  readonly url: string
  readonly pid: number
  /** Everything the process wrote so far. */
  output(): string
  signal(name: NodeJS.Signals): void
  /** Settles when the process is gone, with its exit code, or null when a signal ended it. */
  readonly exited: Promise<number | null>
  /** SIGTERM, then waits; resolves with the exit code. */
  stop(): Promise<number | null>
  /** SIGKILL, then waits. */
  kill(): Promise<void>
  metrics(): Promise<ReadonlyMap<string, number>>
}

export interface StartOptions {
  readonly env: Readonly<Record<string, string>>
  /** Keeps the port over restarts; a free one otherwise. */
  readonly port?: number
  readonly readyWithinMs?: number
}

/** Starts `tributary <command>` as a process of its own and waits until it says that it is ready. */
export async function startService(command: string, options: StartOptions): Promise<ServiceProcess> {
  const service = await launchService(command, options)
  const gone = service.exited.then((code) => {
    throw new Error(`tributary ${command} ended with ${code} before it was ready:\n${service.output()}`)
  })
  const ready = eventually(
    `tributary ${command} is ready`,
    async () => (await fetch(`${service.url}/readyz`)).ok,
    options.readyWithinMs ?? 60_000,
  )
  await Promise.race([ready, gone]).catch(async (error: unknown) => {
    await service.kill()
    throw new Error(`${String(error)}\n${service.output()}`, { cause: error })
  })
  gone.catch(() => {})
  return service
}

/** Starts the process without waiting. */
export async function launchService(command: string, options: StartOptions): Promise<ServiceProcess> {
  const port = options.port ?? (await freePort())
  const child: ChildProcess = spawn(process.execPath, [MAIN, command], {
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      TRIBUTARY_HOST: '127.0.0.1',
      TRIBUTARY_PORT: String(port),
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-200_000)
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  let isKilled = false
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code, signal) => {
      if (code !== 0 && !isKilled) {
        process.stdout.write(
          `tributary ${command} ended by itself with ${code ?? signal}:\n${output.slice(-OUTPUT_TOLD)}\n`,
        )
      }
      resolve(code)
    })
  })
  const url = `http://127.0.0.1:${port}`
  return {
    command,
    url,
    pid: child.pid ?? -1,
    output: () => output,
    signal: (name) => {
      child.kill(name)
    },
    exited,
    stop: async () => {
      child.kill('SIGTERM')
      return exited
    },
    kill: async () => {
      isKilled = true
      child.kill('SIGKILL')
      await exited
    },
    metrics: async () => parseMetrics(await (await fetch(`${url}/metrics`)).text()),
  }
}

/** Prometheus text to sums by metric name, and one entry for each series with its labels as they stand. */
export function parseMetrics(text: string): ReadonlyMap<string, number> {
  const sums = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)/.exec(line)
    if (match === null) continue
    const [, name = '', labels, value = '0'] = match
    sums.set(name, (sums.get(name) ?? 0) + Number(value))
    if (labels !== undefined) sums.set(name + labels, Number(value))
  }
  return sums
}

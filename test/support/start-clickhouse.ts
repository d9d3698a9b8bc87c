import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export interface RunningFront {
  readonly url: string
  readonly port: number
  readonly folder: string
  /** Asks it to end, and waits. The folder stays. */
  stop(): Promise<void>
  /** `kill -9`, and waits. The folder stays. */
  kill(): Promise<void>
}

/** Starts `clickhouse-front.ts` as a process; resolves once it listens. The folder may have been used by an earlier one. */
export async function startFront(options: { folder: string; port?: number; password?: string }): Promise<RunningFront> {
  const script = join(import.meta.dirname, 'clickhouse-front.ts')
  const args = [script, '--port', String(options.port ?? 0), '--folder', options.folder]
  if (options.password !== undefined) args.push('--password', options.password)
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Each running query holds a thread of this pool.
    env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
  })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  const port = await new Promise<number>((resolve, reject) => {
    lines.on('line', (line) => {
      const match = /^listening (\d+)$/.exec(line)
      if (match !== null) resolve(Number(match[1]))
    })
    child.once('exit', (code) => reject(new Error(`the ClickHouse front ended with ${code}`)))
  })
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    child.kill(signal)
    await exited
  }
  const { folder } = options
  return { url: `http://127.0.0.1:${port}`, port, folder, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') }
}

export interface ClickHouseForTests {
  readonly url: string
  /** What it is: a server that was given, one in a container, or the front on chDB. */
  readonly kind: 'given' | 'container' | 'front'
  stop(): Promise<void>
}

async function startContainer(): Promise<ClickHouseForTests | undefined> {
  try {
    const { getContainerRuntimeClient } = await import('testcontainers')
    await getContainerRuntimeClient()
  } catch {
    return undefined // no engine answers
  }
  const { ClickHouseContainer } = await import('@testcontainers/clickhouse')
  const container = await new ClickHouseContainer('clickhouse/clickhouse-server:26.3').start()
  const url = new URL(container.getHttpUrl())
  url.username = container.getUsername()
  url.password = container.getPassword()
  return {
    url: url.href,
    kind: 'container',
    async stop() {
      await container.stop()
    },
  }
}

/** `CLICKHOUSE_URL` when it is set, else a container when an engine answers, else the front on chDB. */
export async function startClickHouse(): Promise<ClickHouseForTests> {
  const given = process.env['CLICKHOUSE_URL']
  if (given !== undefined && given !== '') return { url: given, kind: 'given', stop: async () => undefined }
  const container = await startContainer()
  if (container !== undefined) return container
  const folder = mkdtempSync(join(tmpdir(), 'tributary-front-'))
  const front = await startFront({ folder })
  return {
    url: front.url,
    kind: 'front',
    async stop() {
      await front.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

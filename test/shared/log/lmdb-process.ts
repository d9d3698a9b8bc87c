import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { EventLog, LogRecord } from '../../../services/shared/log/port.ts'

const CHILD = join(import.meta.dirname, 'lmdb-child.ts')

export interface Child {
  readonly process: ChildProcessWithoutNullStreams
  /** What it has said so far. */
  readonly lines: readonly string[]
  readonly exited: Promise<unknown>
}

export interface ChildOptions {
  /** Largest file that the process may write, in bytes: to the log, a disk that is full. */
  readonly fileBytesMax?: number
}

/** Starts `lmdb-child.ts` with these arguments. */
export function startChild(args: readonly string[], { fileBytesMax }: ChildOptions = {}): Child {
  const [command, ...rest] =
    fileBytesMax === undefined
      ? [process.execPath]
      : // A write over the limit is an error, and not the signal that would end the process.
        ['sh', '-c', `trap '' XFSZ; ulimit -f ${Math.floor(fileBytesMax / 512)}; exec "$0" "$@"`, process.execPath]
  const child = spawn(command ?? '', [...rest, CHILD, ...args])
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  child.stderr.pipe(process.stderr)
  return { process: child, lines, exited: once(child, 'close') }
}

export async function endChild(child: Child, signal: NodeJS.Signals): Promise<void> {
  if (child.process.exitCode === null && child.process.signalCode === null) child.process.kill(signal)
  await child.exited
}

export interface Folder extends AsyncDisposable {
  readonly path: string
}

export async function temporaryFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'tributary-log-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

/** Everything that is in a topic now. */
export async function readTopic(log: EventLog, topic: string): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  const stop = new AbortController()
  const following = log.follow(topic, (record) => records.push(record), stop.signal)
  await following.caughtUp
  stop.abort()
  await following.done
  return records
}

import { readFileSync } from 'node:fs'
import { readFile, rename, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { AppError } from '../errors.ts'
import { createDurably } from './durable-file.ts'

interface Holder {
  readonly pid: number
  readonly host: string
  /** Tells a process from a later one with its number; '' where the system does not say. */
  readonly startedAt: string
}

/**
 * Takes the data folder for this process: the embedded engine allows one. Released by the returned function, or by the
 * process's death, which the next caller notices. Throws CONFIG_INVALID, naming the holder, when it is taken.
 */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  const path = join(dataDir, 'lock.json')
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), startedAt: startedAt(process.pid) })
  for (let attempt = 0; attempt < 5; attempt++) {
    if (await createDurably(path, mine, 0o600)) {
      return async () => {
        if ((await read(path)) === mine) await rm(path, { force: true })
      }
    }
    const text = await read(path)
    if (text === undefined) continue
    const holder = parseHolder(text)
    if (holder !== undefined && isAlive(holder)) {
      throw new AppError(
        'CONFIG_INVALID',
        `The data folder ${dataDir} is in use by another process (pid ${holder.pid} on ${holder.host}). Stop that one, ` +
          'or set TRIBUTARY_DATA_DIR to another folder.',
      )
    }
    await removeStale(path, text)
  }
  throw new AppError('CONFIG_INVALID', `The lock ${path} keeps changing hands; start again.`)
}

const read = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined)

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder>
    if (typeof value.pid !== 'number' || value.pid <= 0) return undefined
    return { pid: value.pid, host: value.host ?? '', startedAt: value.startedAt ?? '' }
  } catch {
    return undefined
  }
}

function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const now = startedAt(holder.pid)
  return holder.startedAt === '' || now === '' || holder.startedAt === now
}

/** Linux: ticks since boot at which the process began, with the boot's id. */
function startedAt(pid: number): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return `${boot}/${line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? ''}`
  } catch {
    return ''
  }
}

/** Moves the dead holder's lock away; puts it back when it turns out to be a living one's that came in between. */
async function removeStale(path: string, expected: string): Promise<void> {
  const aside = `${path}.${process.pid}.stale`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  const moved = await read(aside)
  if (moved !== undefined && moved !== expected) await createDurably(path, moved, 0o600)
  await rm(aside, { force: true })
}

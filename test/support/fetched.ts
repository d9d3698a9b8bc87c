import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Where servers for tests are kept from one run to the next. */
export const cacheFolder = (): string => join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tributary')

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** Resolves with `path` once it is there: `fetch` makes it, whole or not at all, in one process of those that want it. */
export async function fetchedOnce(path: string, fetch: (path: string) => Promise<void>): Promise<string> {
  if (await exists(path)) return path
  await mkdir(cacheFolder(), { recursive: true })
  const unlock = await lockFile(`${path}.lock`)
  try {
    if (!(await exists(path))) await fetch(path)
  } finally {
    await unlock()
  }
  return path
}

/** Waits for its turn among processes; a lock whose owner has died is taken over. */
async function lockFile(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' })
      return () => rm(path, { force: true })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      const owner = Number(await readFile(path, 'utf8').catch(() => ''))
      if (owner > 0 && !isAlive(owner)) await rm(path, { force: true })
      await sleep(200)
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Makes the folder, and removes files that processes left that are no more: their names begin with the process's id. */
export async function emptyOfDead(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const name of await readdir(folder)) {
    const pid = Number.parseInt(name, 10)
    if (pid === process.pid || !isAlive(pid)) await rm(join(folder, name), { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockDataDir } from '../../services/shared/config/data-lock.ts'

let dataDir = ''
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'lock-'))
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

const MODULE = join(import.meta.dirname, '../../services/shared/config/data-lock.ts')

/** A process that takes the lock, says so and stays. */
async function holder() {
  const script = `const { lockDataDir } = await import(${JSON.stringify(MODULE)}); await lockDataDir(${JSON.stringify(dataDir)}); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}

test('a second process is refused, and told who has the folder', async () => {
  const child = await holder()
  try {
    await expect(lockDataDir(dataDir)).rejects.toThrow(new RegExp(`in use by another process \\(pid ${child.pid} on`))
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  const release = await lockDataDir(dataDir) // the dead holder's lock holds nobody up
  await release()
  expect(await readdir(dataDir)).toEqual([])
})

test('a later process with the number of a dead holder is not taken for it', async () => {
  const old = { pid: process.ppid, host: hostname(), startedAt: 'another-boot/1' }
  await writeFile(join(dataDir, 'lock.json'), JSON.stringify(old))
  const take = lockDataDir(dataDir)
  if (process.platform === 'linux') await (await take)()
  else await expect(take).rejects.toThrow(/in use/)
})

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder, exists, fetchedOnce } from './fetched.ts'

const run = promisify(execFile)

/**
 * The path of a Python with these packages (`name==version`), in an environment of its own that is made once and kept for
 * later runs; or one sentence that says what is missing on this machine.
 */
export async function pythonWith(
  packages: readonly string[],
): Promise<{ readonly program: string } | { readonly unavailable: string }> {
  let version: string
  try {
    const { stdout } = await run('python3', ['-c', 'import sys, venv, ensurepip; print(sys.version)'], {
      timeout: 20_000,
    })
    version = stdout
  } catch {
    return { unavailable: 'Install Python 3.10 or newer with venv and pip to run the tests with Python’s readers.' }
  }
  const name = createHash('sha256')
    .update([version, ...packages].join('\n'))
    .digest('hex')
    .slice(0, 16)
  const folder = join(cacheFolder(), `python-${name}`)
  try {
    await fetchedOnce(folder, async (path) => makeEnvironment(path, packages))
  } catch (error) {
    if (await exists(folder)) throw error
    return { unavailable: `Python’s packages could not be had (${packages.join(', ')}).` }
  }
  return { program: join(folder, 'bin', 'python') }
}

async function makeEnvironment(path: string, packages: readonly string[]): Promise<void> {
  const work = await mkdtemp(join(cacheFolder(), 'building-'))
  try {
    const made = join(work, 'environment')
    await run('python3', ['-m', 'venv', made], { timeout: 60_000 })
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:']
    await run(join(made, 'bin', 'python'), [...pip, ...packages], { timeout: 300_000 })
    await rename(made, path)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

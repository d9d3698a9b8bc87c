import { execFile } from 'node:child_process'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder, exists, fetchedOnce } from './fetched.ts'

const run = promisify(execFile)

/** A server that is written in Go, at a pinned version. */
export interface GoTool {
  /** Of the package with its `main`. */
  readonly path: string
  readonly version: string
}

const fileOf = ({ path, version }: GoTool): string => join(cacheFolder(), `${basename(path)}-${version}`)

/** Says what is missing on this machine to have these tools; undefined when nothing is. */
export async function missingForGoTools(tools: readonly GoTool[]): Promise<string | undefined> {
  const there = await Promise.all(tools.map(async (tool) => exists(fileOf(tool))))
  if (there.every(Boolean)) return undefined
  try {
    await run('go', ['version'], { timeout: 20_000 })
    return undefined
  } catch {
    return 'Install Go 1.24 or newer, or start Docker, to run the tests of S3 and GCS buckets.'
  }
}

/** Its binary; built once from its source and kept for later runs. */
export async function goTool(tool: GoTool): Promise<string> {
  return fetchedOnce(fileOf(tool), async (file) => {
    const work = await mkdtemp(join(cacheFolder(), 'building-'))
    try {
      const env = { ...process.env, GOBIN: work, GOFLAGS: '-mod=mod', CGO_ENABLED: '0' }
      await run('go', ['install', `${tool.path}@${tool.version}`], { env, timeout: 900_000, maxBuffer: 1 << 24 })
      await rename(join(work, basename(tool.path)), file)
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  })
}

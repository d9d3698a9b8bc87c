import { createWriteStream } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { writeDurably } from '../../shared/config/durable-file.ts'
import type { ExtractionFiles, ExtractionJob, JobName } from './files.ts'

const PROJECT = /^[A-Za-z0-9]{1,64}$/
const JOB = /^[0-9a-f]{32}$/
/** Files hold events: they are for this user alone. */
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

/** In a folder: `<project>/<job>.json` is the record, `.data` the file, `.part` one that is being written. Made when first needed. */
export function folderFiles(folder: string): ExtractionFiles {
  const isName = ({ projectId, id }: JobName): boolean => PROJECT.test(projectId) && JOB.test(id)
  const pathOf = (name: JobName, ending: 'json' | 'data' | 'part'): string => {
    if (!isName(name)) throw new Error('not the name of a job')
    return join(folder, name.projectId, `${name.id}.${ending}`)
  }
  const namesIn = async (path: string): Promise<readonly string[]> => {
    try {
      return await readdir(path)
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  }
  const get = async (name: JobName): Promise<ExtractionJob | undefined> => {
    if (!isName(name)) return undefined
    try {
      return JSON.parse(await readFile(pathOf(name, 'json'), 'utf8')) as ExtractionJob
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError) return undefined
      throw error
    }
  }
  return {
    get,
    async list(projectId) {
      const projects = projectId === undefined ? await namesIn(folder) : [projectId]
      const jobs: ExtractionJob[] = []
      for (const project of projects.filter((name) => PROJECT.test(name))) {
        for (const file of await namesIn(join(folder, project))) {
          const job = file.endsWith('.json') ? await get({ projectId: project, id: file.slice(0, -5) }) : undefined
          if (job !== undefined) jobs.push(job)
        }
      }
      return jobs
    },
    async put(job) {
      const path = pathOf(job, 'json')
      await mkdir(join(folder, job.projectId), { recursive: true, mode: FOLDER_MODE })
      await writeDurably(path, JSON.stringify(job), FILE_MODE)
    },
    async write(name, text, { gzip, signal }) {
      const part = pathOf(name, 'part')
      const file = createWriteStream(part, { mode: FILE_MODE, flush: true })
      const source = Readable.from(text, { objectMode: false })
      try {
        await (gzip ? pipeline(source, createGzip(), file, { signal }) : pipeline(source, file, { signal }))
        const { size } = await stat(part)
        await rename(part, pathOf(name, 'data'))
        return size
      } catch (error) {
        await rm(part, { force: true })
        throw error
      }
    },
    async read(name) {
      if (!isName(name)) return undefined
      try {
        const file = await open(pathOf(name, 'data'))
        return file.createReadStream()
      } catch (error) {
        if (isMissing(error)) return undefined
        throw error
      }
    },
    async remove(name) {
      if (!isName(name)) return
      // The record last: what is left of an interrupted removal is found again by it.
      for (const ending of ['part', 'data', 'json'] as const) await rm(pathOf(name, ending), { force: true })
    },
  }
}

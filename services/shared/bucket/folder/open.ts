import { createHash, randomUUID } from 'node:crypto'
import { type BigIntStats, createReadStream } from 'node:fs'
import { link, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { syncFolder } from '../../config/durable-file.ts'
import { AppError } from '../../errors.ts'
import { checkKey } from '../key.ts'
import type { Bucket, BucketRefusal, ObjectMetadata } from '../port.ts'
import { arriving } from '../streams.ts'
import { OWN_FOLDER } from './own-folder.ts'
import { walk } from './walk.ts'

/** A disk, perhaps of another machine, that gives nothing for longer is given up. */
const SILENCE_MS = 60_000
/** No object takes a day to write without a byte on the way. */
const DRAFT_MS = 86_400_000

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? ''
const isMissing = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(codeOf(error))

/** Which file a path leads to: a replaced one is another. */
const identity = ({ ino, mtimeNs }: BigIntStats): string => `${ino}-${mtimeNs}`

/**
 * A folder as a bucket: keys are paths under it, so that any reader of files can be pointed at it. Metadata stands in a
 * file of its own beside, by the object's inode, and does not follow a copy. Makes the folder, and removes drafts older than a day.
 */
export async function openFolderBucket(folder: string): Promise<Bucket> {
  const drafts = join(folder, OWN_FOLDER, 'drafts')
  const notes = join(folder, OWN_FOLDER, 'metadata')
  await refusing(async () => {
    await mkdir(drafts, { recursive: true })
    await mkdir(notes, { recursive: true })
    await removeOldDrafts(drafts)
  })

  const pathOf = (key: string): string => {
    checkKey(key)
    if (key === OWN_FOLDER || key.startsWith(`${OWN_FOLDER}/`)) throw refused('invalid', `${OWN_FOLDER} is taken.`)
    return join(folder, key)
  }
  const noteOf = (key: string, stats: BigIntStats): string => {
    const name = createHash('sha256').update(key).digest('hex')
    return join(notes, name.slice(0, 2), `${name}.${identity(stats)}.json`)
  }
  const statOf = async (path: string): Promise<BigIntStats | undefined> => {
    try {
      const stats = await stat(path, { bigint: true })
      return stats.isFile() ? stats : undefined
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }
  const metadataOf = async (note: string): Promise<ObjectMetadata> => {
    try {
      return JSON.parse(await readFile(note, 'utf8')) as ObjectMetadata
    } catch (error) {
      if (isMissing(error) || error instanceof SyntaxError) return {}
      throw error
    }
  }

  return {
    kind: 'folder',
    description: `folder ${folder}`,

    put: (key, body, { metadata = {}, signal }) =>
      refusing(async () => {
        const path = pathOf(key)
        const draft = join(drafts, randomUUID())
        let note: string | undefined
        try {
          const stats = await writeSynced(draft, body.open(), signal)
          if (stats.size !== BigInt(body.bytes)) throw new Error('the body has another length than it says')
          note = noteOf(key, stats)
          await mkdir(dirname(note), { recursive: true })
          await writeSynced(note, Readable.from([JSON.stringify(metadata)]), signal)
          await makeFolders(folder, dirname(path))
          await link(draft, path) // appears whole, and only where there is nothing
          await syncFolder(dirname(path))
        } catch (error) {
          if (note !== undefined) await rm(note, { force: true })
          if (codeOf(error) === 'EEXIST')
            throw new AppError('BUCKET_CONFLICT', 'There is such an object.', { cause: error })
          throw error
        } finally {
          await rm(draft, { force: true })
        }
      }),

    head: (key) =>
      refusing(async () => {
        const stats = await statOf(pathOf(key))
        if (stats === undefined) return undefined
        return { key, bytes: Number(stats.size), metadata: await metadataOf(noteOf(key, stats)) }
      }),

    get: (key, signal, range) =>
      refusing(async () => {
        const path = pathOf(key)
        const stats = await statOf(path)
        if (stats === undefined) return undefined
        const bytes = range?.bytes ?? Number(stats.size)
        const part = range && { start: range.at, end: range.at + range.bytes - 1 }
        const from = createReadStream(path, part)
        return arriving(from, { bytes, silenceMs: SILENCE_MS, signal, translate: asBucketError })
      }),

    list: (prefix, options) => walk(folder, prefix, options),

    delete: (key) =>
      refusing(async () => {
        const path = pathOf(key)
        const stats = await statOf(path)
        if (stats === undefined) return
        await rm(path, { force: true })
        await rm(noteOf(key, stats), { force: true })
        await syncFolder(dirname(path))
      }),

    close: async () => {},
  }
}

/** Those of processes that died in the middle; one that is still being written is younger. */
async function removeOldDrafts(drafts: string): Promise<void> {
  const before = Date.now() - DRAFT_MS
  for (const name of await readdir(drafts)) {
    const path = join(drafts, name)
    const stats = await stat(path).catch(() => undefined) // gone meanwhile
    if (stats !== undefined && stats.mtimeMs < before) await rm(path, { force: true })
  }
}

async function writeSynced(path: string, from: Readable, signal: AbortSignal): Promise<BigIntStats> {
  await using file = await open(path, 'wx')
  await file.writeFile(from, { signal })
  await file.sync()
  return await file.stat({ bigint: true })
}

/** Each new folder's name is made durable in the one above it. */
async function makeFolders(root: string, folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true })
  if (first === undefined) return
  for (let path = folder; path.length >= first.length && path !== root; path = dirname(path))
    await syncFolder(dirname(path))
}

const refused = (reason: BucketRefusal, message: string, cause?: unknown): AppError =>
  new AppError('BUCKET_REFUSED', message, { cause, details: { reason } })

async function refusing<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    throw asBucketError(error)
  }
}

function asBucketError(error: unknown): AppError {
  if (error instanceof AppError) return error
  switch (codeOf(error)) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return refused('forbidden', 'The folder may not be written or read.', error)
    case 'ENOSPC':
    case 'EDQUOT':
      return refused('quota', 'The disk of the folder is full.', error)
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ENAMETOOLONG':
      return refused('invalid', 'A name is too long for a file, or is that of a folder.', error)
    default:
      return new AppError('BUCKET_UNAVAILABLE', 'The folder did not take or give an object.', { cause: error })
  }
}

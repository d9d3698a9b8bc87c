import { randomBytes } from 'node:crypto'
import { link, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Replaces `path` by `text`: after a crash there is the old content or the new, whole, never something between. */
export async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  const draft = await writeDraft(path, text, mode)
  try {
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

/** Makes `path` with this content if it is not there. False when it was: of several callers at once, one gets true. */
export async function createDurably(path: string, text: string, mode: number): Promise<boolean> {
  const draft = await writeDraft(path, text, mode)
  try {
    // A hard link appears whole and only where there is nothing, which `rename` and an exclusive open do not both give.
    await link(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
  await syncFolder(dirname(path))
  return true
}

async function writeDraft(path: string, text: string, mode: number): Promise<string> {
  const draft = `${path}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(draft, 'wx', mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  } finally {
    await file.close()
  }
  return draft
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

import { lstat, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../errors.ts'
import { wrong } from './body-part.ts'

const PART = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/
const CHARS_MAX = 400

/** Checks a folder's name: parts of letters, digits, `.`, `_` and `-` between slashes. Throws InvalidRequestFieldError. */
export function parseFolder(text: string, field: string): string {
  if (text.length <= CHARS_MAX && text.split('/').every((part) => PART.test(part))) return text
  throw wrong(
    field,
    'must be parts of 1 to 100 letters, digits, . _ and - between slashes, none of which starts with a dot',
  )
}

/**
 * Makes the folder of a stream and gives its path: `root`, the project, the stream's own. Rejects with BUCKET_REFUSED
 * when a link on the way leads out of there.
 */
export async function ownFolder(root: string, projectId: string, folder: string): Promise<string> {
  let path = root
  await mkdir(root, { recursive: true })
  for (const part of [projectId, ...folder.split('/')]) {
    if (!PART.test(part)) throw refused()
    path = join(path, part)
    await mkdir(path, { recursive: true }).catch(() => undefined) // what stands there instead is told below
    const found = await lstat(path).catch(() => undefined)
    if (found?.isDirectory() !== true) throw refused()
  }
  return path
}

const refused = (): AppError =>
  new AppError('BUCKET_REFUSED', 'The folder cannot be made, or is a link to another place.', {
    details: { reason: 'forbidden' },
  })

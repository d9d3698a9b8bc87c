import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../../errors.ts'
import type { ListedObject, ListOptions } from '../port.ts'
import { OWN_FOLDER } from './own-folder.ts'

const before = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** Whether a folder's keys, which all start with `start`, can be among those asked for. */
const mayHold = (start: string, prefix: string, after: string): boolean =>
  (start.startsWith(prefix) || prefix.startsWith(start)) && (before(start, after) > 0 || after.startsWith(start))

/** Files under `root` as keys, in the order of their bytes; goes into no folder that can hold none of them. */
export async function* walk(root: string, prefix: string, options: ListOptions): AsyncGenerator<ListedObject> {
  yield* inside(root, '', prefix, options.after ?? '', options.signal)
}

async function* inside(
  root: string,
  start: string,
  prefix: string,
  after: string,
  signal: AbortSignal,
): AsyncGenerator<ListedObject> {
  if (signal.aborted) {
    throw new AppError('BUCKET_UNAVAILABLE', 'The listing was broken off.', { cause: signal.reason })
  }
  const entries = await entriesOf(join(root, start))
  // A folder's keys all go on with a slash, which decides where they stand among its siblings.
  const names = entries.map((entry) => `${start}${entry.name}${entry.isDirectory() ? '/' : ''}`)
  for (const name of names.toSorted(before)) {
    if (name === `${OWN_FOLDER}/`) continue
    if (name.endsWith('/')) {
      if (mayHold(name, prefix, after)) yield* inside(root, name, prefix, after, signal)
      continue
    }
    if (!name.startsWith(prefix) || before(name, after) <= 0) continue
    const stats = await stat(join(root, name)).catch(() => undefined) // deleted meanwhile
    if (stats?.isFile() === true) yield { key: name, bytes: stats.size }
  }
}

async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new AppError('BUCKET_UNAVAILABLE', 'The folder cannot be listed.', { cause: error })
  }
}

import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Static, Type } from 'typebox'
import { Value } from 'typebox/value'
import { writeDurably } from '../../shared/config/durable-file.ts'
import { AppError } from '../../shared/errors.ts'

const ImportState = Type.Object({
  run_id: Type.String({ minLength: 16, maxLength: 64 }),
  /** What must not change between the runs of one import, for the batches to be cut and named alike. */
  same: Type.Object({
    source: Type.String(),
    size: Type.Number(),
    modified_ms: Type.Number(),
    url: Type.String(),
    project: Type.String(),
    collection: Type.String(),
    batch: Type.Number(),
    batch_bytes: Type.Number(),
    timestamp_property: Type.String(),
  }),
  line: Type.Number(),
  stored: Type.Number(),
  refused: Type.Number(),
  done: Type.Boolean(),
})
export type ImportState = Static<typeof ImportState>

/**
 * The state of this import: where an earlier run of it stopped, or a new one. Throws InvalidRequestError when the file
 * is another import's, saying what differs.
 */
export async function openState(path: string, same: ImportState['same'], restart: boolean): Promise<ImportState> {
  const kept = restart ? undefined : await readState(path)
  if (kept === undefined) {
    const state = { run_id: randomBytes(12).toString('hex'), same, line: 0, stored: 0, refused: 0, done: false }
    await saveState(path, state) // before anything is sent, so that a crash leaves a name to go on with
    return state
  }
  const changed = Object.entries(same)
    .filter(([name, value]) => kept.same[name as keyof typeof same] !== value)
    .map(([name]) => name)
  if (changed.length > 0) {
    throw new AppError(
      'InvalidRequestError',
      `${path} was left by an import that differs in: ${changed.join(', ')}. Repeat that one as it was, or add ` +
        '--restart to import everything anew.',
    )
  }
  return kept
}

export async function saveState(path: string, state: ImportState): Promise<void> {
  await writeDurably(path, `${JSON.stringify(state, null, 2)}\n`, 0o600)
}

async function readState(path: string): Promise<ImportState | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const value: unknown = JSON.parse(text)
    if (Value.Check(ImportState, value)) return value
  } catch {
    // falls through: as unusable as a file of another shape
  }
  throw new AppError('InvalidRequestError', `${path} is damaged. Remove it (or add --restart) to import anew.`)
}

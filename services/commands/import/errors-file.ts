import { type FileHandle, open, readFile } from 'node:fs/promises'
import type { Refusal } from './batches.ts'

/**
 * The file that names every refused line, one JSON object each. What an earlier run wrote about lines after `line`
 * goes, since this run will answer for them again. The file appears with its first entry.
 */
export async function openErrorsFile(path: string, line: number) {
  let file: FileHandle | undefined
  const kept = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter((text) => isUpTo(text, line))
  if (kept.length > 0) {
    file = await open(path, 'w', 0o600)
    await file.write(`${kept.join('\n')}\n`)
  }
  return {
    async add(refused: readonly Refusal[]): Promise<void> {
      if (refused.length === 0) return
      file ??= await open(path, 'w', 0o600)
      await file.write(refused.map((refusal) => `${JSON.stringify(refusal)}\n`).join(''))
    },
    async close(): Promise<void> {
      await file?.close()
    },
  }
}

function isUpTo(text: string, line: number): boolean {
  try {
    return (JSON.parse(text) as Refusal).line <= line
  } catch {
    return false
  }
}

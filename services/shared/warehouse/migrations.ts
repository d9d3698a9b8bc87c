import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../errors.ts'

export interface Migration {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly statements: readonly string[]
}

const FILE_NAME = /^(\d{4})_([a-z0-9_]+)\.sql$/

/** Statements end with a semicolon at the end of a line; comments alone are no statement. */
export function splitStatements(text: string): readonly string[] {
  return text
    .split(/;[ \t]*(?:\r?\n|$)/)
    .map((part) => part.trim())
    .filter((part) => part.split('\n').some((line) => line.trim() !== '' && !line.trim().startsWith('--')))
}

/** The numbered files `NNNN_name.sql` of a folder, in order. Rejects with CONFIG_INVALID when two share a number. */
export async function readMigrations(folder: string): Promise<readonly Migration[]> {
  const migrations: Migration[] = []
  for (const file of (await readdir(folder)).toSorted()) {
    const match = FILE_NAME.exec(file)
    if (match === null) continue
    const text = await readFile(join(folder, file), 'utf8')
    const version = Number(match[1])
    if (migrations.at(-1)?.version === version) {
      throw new AppError('CONFIG_INVALID', `Two migrations have the number ${match[1]}.`)
    }
    migrations.push({
      version,
      name: match[2] ?? '',
      checksum: createHash('sha256').update(text.replaceAll('\r\n', '\n')).digest('hex'),
      statements: splitStatements(text),
    })
  }
  return migrations
}

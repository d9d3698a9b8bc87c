import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { AppError } from '../errors.ts'
import { createDurably } from './durable-file.ts'

export interface Organization {
  readonly id: string
  readonly key: string
  readonly secret: string
}

export interface OpenedOrganization extends Organization {
  /** Where the three are kept: the environment, or a file. */
  readonly source: 'environment' | 'file'
  readonly file: string
  /** True once: for the process that made the file. */
  readonly isNew: boolean
}

const OrganizationFile = Type.Object({
  organization_id: Type.String({ pattern: '^[0-9a-f]{24}$' }),
  organization_key: Type.String({ pattern: '^[A-Za-z0-9]{32,128}$' }),
  secret: Type.String({ minLength: 32, maxLength: 1024 }),
})

export const organizationFile = (dataDir: string): string => join(dataDir, 'organization.json')

/** What the file holds; undefined when there is none. Throws CONFIG_INVALID when it cannot be used. */
export async function readOrganization(dataDir: string): Promise<Organization | undefined> {
  const path = organizationFile(dataDir)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new AppError('CONFIG_INVALID', `${path} cannot be read; let this user read it (mode 0600, same owner).`, {
      cause: error,
    })
  }
  const value = parsed(text)
  if (!Value.Check(OrganizationFile, value)) {
    throw new AppError(
      'CONFIG_INVALID',
      `${path} is damaged: it must hold organization_id, organization_key and secret. Put it back from a backup, or ` +
        'set TRIBUTARY_ORGANIZATION_ID, TRIBUTARY_ORGANIZATION_KEY and TRIBUTARY_SECRET.',
    )
  }
  return { id: value.organization_id, key: value.organization_key, secret: value.secret }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * The organization of this deployment: from the settings, else from the data folder's file, else (on the first start,
 * where `mayCreate`) made and kept there with mode 0600. Several first starts at once agree on one.
 * Throws CONFIG_INVALID with what to do.
 */
export async function openOrganization(options: {
  readonly dataDir: string
  /** All three or none: `loadConfig` has checked it. */
  readonly fromSettings: { readonly [Field in keyof Organization]: string | undefined }
  readonly mayCreate: boolean
}): Promise<OpenedOrganization> {
  const { dataDir, mayCreate } = options
  const file = organizationFile(dataDir)
  const kept = await readOrganization(dataDir)
  const { id, key, secret } = options.fromSettings
  if (id !== undefined && key !== undefined && secret !== undefined) {
    if (kept !== undefined && kept.secret !== secret) {
      throw new AppError(
        'CONFIG_INVALID',
        `TRIBUTARY_SECRET differs from the secret in ${file}, under which this folder's keys are stored: they could ` +
          'not be read. Unset it, or move the file away if this folder is not in use.',
      )
    }
    return { id, key, secret, source: 'environment', file, isNew: false }
  }
  if (kept !== undefined) return { ...kept, source: 'file', file, isNew: false }
  if (!mayCreate) {
    throw new AppError(
      'CONFIG_INVALID',
      'With KAFKA_BROKERS set, TRIBUTARY_ORGANIZATION_ID, TRIBUTARY_ORGANIZATION_KEY and TRIBUTARY_SECRET must be set, ' +
        'the same for every process. Make them once: `openssl rand -hex 12` for the id, `openssl rand -hex 32` for each ' +
        'of the other two.',
    )
  }
  await refuseOrphanedData(dataDir, file)
  await makeDataDir(dataDir)
  const made: Organization = {
    id: randomBytes(12).toString('hex'),
    key: randomBytes(32).toString('hex').toUpperCase(),
    secret: randomBytes(32).toString('hex'),
  }
  const text = { organization_id: made.id, organization_key: made.key, secret: made.secret }
  if (await createDurably(file, `${JSON.stringify(text, null, 2)}\n`, 0o600)) {
    return { ...made, source: 'file', file, isNew: true }
  }
  const theirs = await readOrganization(dataDir) // another first start was quicker
  if (theirs === undefined) throw new AppError('CONFIG_INVALID', `${file} appeared and went away again; start again.`)
  return { ...theirs, source: 'file', file, isNew: false }
}

/** Makes the data folder, private to its owner. Throws CONFIG_INVALID when that cannot be. */
export async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    if ((await stat(dataDir)).isDirectory()) return
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === 'ENOSPC' ? 'the disk is full' : code === 'EROFS' ? 'the disk is read-only' : `${code}`
    throw new AppError(
      'CONFIG_INVALID',
      `The data folder ${dataDir} cannot be made (${why}). Set TRIBUTARY_DATA_DIR to a folder that can be written.`,
      { cause: error },
    )
  }
  throw new AppError('CONFIG_INVALID', `${dataDir} is not a folder. Set TRIBUTARY_DATA_DIR to one.`)
}

/** A log without its organization file: a new secret would make every stored key unreadable, silently. */
async function refuseOrphanedData(dataDir: string, file: string): Promise<void> {
  const entries = await readdir(join(dataDir, 'log')).catch(() => [])
  if (entries.length === 0) return
  throw new AppError(
    'CONFIG_INVALID',
    `${dataDir} holds a log but ${file}, with the secret that its keys are stored under, is missing. Put it back from ` +
      'a backup, or move the folder away to start anew.',
  )
}

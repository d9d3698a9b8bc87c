import { Compile } from 'typebox/compile'
import {
  DEFINITION_KINDS,
  type DefinitionKind,
  DefinitionRecord,
  KeyRecord,
  ProjectRecord,
} from '../../../schemas/control/records.ts'
import type { LogMessage } from '../log/port.ts'
import {
  PERMISSIONS,
  type Definition,
  type KeyKind,
  type KeyOptions,
  type Permission,
  type Project,
  type ProjectKey,
} from './model.ts'
import type { Seal } from './seal.ts'

/** A key as the log holds it: the secret is opened when somebody asks for it, and no line of JSON ever shows it. */
export class StoredKey implements ProjectKey {
  readonly id: string
  readonly projectId: string
  readonly kind: KeyKind
  readonly name: string
  readonly isActive: boolean
  readonly permitted: readonly Permission[]
  readonly options: KeyOptions
  readonly createdAtMs: number
  /** The keyed hash of the secret. */
  readonly lookup: string
  readonly #seal: Seal
  readonly #sealed: string

  constructor(fields: Omit<ProjectKey, 'secret'>, stored: { seal: Seal; sealed: string; lookup: string }) {
    this.id = fields.id
    this.projectId = fields.projectId
    this.kind = fields.kind
    this.name = fields.name
    this.isActive = fields.isActive
    this.permitted = fields.permitted
    this.options = fields.options
    this.createdAtMs = fields.createdAtMs
    this.lookup = stored.lookup
    this.#seal = stored.seal
    this.#sealed = stored.sealed
  }

  /** Throws InternalServerError when the log's record was tampered with. */
  get secret(): string {
    return this.#seal.open(this.#sealed, recordKeyOfKey(this.projectId, this.id))
  }
}

/** What a record of the control topic means to this version. */
export type Change =
  | { readonly kind: 'project'; readonly id: string; readonly project: Project }
  | { readonly kind: 'key'; readonly projectId: string; readonly id: string; readonly key: StoredKey }
  /** Deleted, or said in a way that this version cannot use (`aside` tells why): not there, as far as it can tell. */
  | { readonly kind: 'no project'; readonly id: string; readonly aside?: Aside }
  | { readonly kind: 'no key'; readonly projectId: string; readonly id: string; readonly aside?: Aside }
  | DefinitionChange
  | { readonly kind: 'other' }

export type DefinitionChange =
  | { readonly kind: 'definition'; readonly definition: Definition }
  | {
      readonly kind: 'no definition'
      readonly of: DefinitionKind
      readonly projectId: string
      readonly name: string
      readonly aside?: Aside
    }

/** Why a record was kept aside. */
export type Aside = 'unknown_version' | 'malformed' | 'foreign_secret'

const isProjectRecord = Compile(ProjectRecord)
const isKeyRecord = Compile(KeyRecord)
const isDefinitionRecord = Compile(DefinitionRecord)
const isDefinitionKind = (kind: string | undefined): kind is DefinitionKind =>
  (DEFINITION_KINDS as readonly (string | undefined)[]).includes(kind)
const PERMISSION_NAMES: ReadonlySet<string> = new Set(PERMISSIONS)
const isPermission = (name: string): name is Permission => PERMISSION_NAMES.has(name)

const recordKeyOfProject = (projectId: string): string => `project/${projectId}`
const recordKeyOfKey = (projectId: string, keyId: string): string => `key/${projectId}/${keyId}`

const message = (key: string, value: ProjectRecord | KeyRecord | DefinitionRecord | null): LogMessage => ({
  partition: 0,
  key: Buffer.from(key),
  value: value === null ? null : Buffer.from(JSON.stringify(value)),
})

export function projectMessage(project: Project): LogMessage {
  return message(recordKeyOfProject(project.id), {
    v: 1,
    organizationId: project.organizationId,
    name: project.name,
    isActive: project.isActive,
    users: [...project.users],
    preferences: project.preferences,
    createdAtMs: project.createdAtMs,
  })
}

export function keyMessage(key: ProjectKey, seal: Seal): LogMessage {
  const recordKey = recordKeyOfKey(key.projectId, key.id)
  const { secret } = key
  const { writes, queries, saved_queries, cached_queries, datasets, limits = null } = key.options
  return message(recordKey, {
    v: 1,
    kind: key.kind,
    secretId: seal.secretId,
    sealed: seal.seal(secret, recordKey),
    lookup: seal.lookup(secret),
    name: key.name,
    isActive: key.isActive,
    permitted: [...key.permitted],
    options: { writes, queries, saved_queries, cached_queries, datasets, ...(limits !== null && { limits }) },
    createdAtMs: key.createdAtMs,
  })
}

export const projectDeletion = (projectId: string): LogMessage => message(recordKeyOfProject(projectId), null)
export const keyDeletion = (projectId: string, keyId: string): LogMessage =>
  message(recordKeyOfKey(projectId, keyId), null)

const recordKeyOfDefinition = (kind: DefinitionKind, projectId: string, name: string): string =>
  `${kind}/${projectId}/${name}`

export function definitionMessage(definition: Definition): LogMessage {
  const { kind, projectId, name, version, createdAtMs, changedAtMs, value } = definition
  return message(recordKeyOfDefinition(kind, projectId, name), { v: 1, version, createdAtMs, changedAtMs, value })
}

export const definitionDeletion = (kind: DefinitionKind, projectId: string, name: string): LogMessage =>
  message(recordKeyOfDefinition(kind, projectId, name), null)

/** Never throws: whatever stands in the topic means something, if only that it is for somebody else. */
export function decodeRecord(record: { key: Buffer | null; value: Buffer | null }, seal: Seal): Change {
  const [kind, first, second, ...more] = (record.key ?? Buffer.alloc(0)).toString('utf8').split('/')
  if (kind === 'project' && first !== undefined && second === undefined) return decodeProject(first, record.value)
  if (kind === 'key' && first !== undefined && second !== undefined && more.length === 0) {
    return decodeKey(first, second, record.value, seal)
  }
  return decodeDefinitionRecord(record) ?? { kind: 'other' }
}

/** The same of records about definitions alone, which need no seal; undefined for any other. Never throws. */
export function decodeDefinitionRecord(record: {
  key: Buffer | null
  value: Buffer | null
}): DefinitionChange | undefined {
  const [kind, first, second, ...more] = (record.key ?? Buffer.alloc(0)).toString('utf8').split('/')
  if (!isDefinitionKind(kind) || first === undefined || second === undefined || more.length > 0) return undefined
  return decodeDefinition(kind, first, second, record.value)
}

function decodeDefinition(of: DefinitionKind, projectId: string, name: string, value: Buffer | null): DefinitionChange {
  if (value === null) return { kind: 'no definition', of, projectId, name }
  const json = parse(value)
  if (!isDefinitionRecord.Check(json)) return { kind: 'no definition', of, projectId, name, aside: whyNot(json) }
  const { version, createdAtMs, changedAtMs } = json
  return {
    kind: 'definition',
    definition: { kind: of, projectId, name, version, createdAtMs, changedAtMs, value: json.value },
  }
}

function decodeProject(id: string, value: Buffer | null): Change {
  if (value === null) return { kind: 'no project', id }
  const json = parse(value)
  if (!isProjectRecord.Check(json)) return { kind: 'no project', id, aside: whyNot(json) }
  const { organizationId, name, isActive, users, preferences, createdAtMs } = json
  return {
    kind: 'project',
    id,
    project: {
      id,
      organizationId,
      name,
      isActive,
      users: users.map(({ email }) => ({ email })),
      preferences,
      createdAtMs,
    },
  }
}

function decodeKey(projectId: string, id: string, value: Buffer | null, seal: Seal): Change {
  if (value === null) return { kind: 'no key', projectId, id }
  const json = parse(value)
  if (!isKeyRecord.Check(json)) return { kind: 'no key', projectId, id, aside: whyNot(json) }
  if (json.secretId !== seal.secretId) return { kind: 'no key', projectId, id, aside: 'foreign_secret' }
  const { kind, name, isActive, permitted, options, createdAtMs, sealed, lookup } = json
  const { writes, queries, saved_queries, cached_queries, datasets, limits = null } = options
  const key = new StoredKey(
    {
      id,
      projectId,
      kind,
      name,
      isActive,
      // One that a later version knows gives nothing here.
      permitted: permitted.filter(isPermission),
      options: { writes, queries, saved_queries, cached_queries, datasets, ...(limits !== null && { limits }) },
      createdAtMs,
    },
    { seal, sealed, lookup },
  )
  return { kind: 'key', projectId, id, key }
}

function parse(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString('utf8'))
  } catch {
    return undefined
  }
}

function whyNot(json: unknown): Aside {
  const version = typeof json === 'object' && json !== null && 'v' in json ? json.v : undefined
  return typeof version === 'number' && version !== 1 ? 'unknown_version' : 'malformed'
}

import { randomBytes } from 'node:crypto'
import { AppError } from '../errors.ts'
import type { LogMessage } from '../log/port.ts'
import { NO_OPTIONS, PREDEFINED_PERMISSIONS } from './grant.ts'
import type { Project, ProjectKey } from './model.ts'
import { definitionDeletion, keyDeletion, keyMessage, projectDeletion, projectMessage } from './records.ts'
import type { Seal } from './seal.ts'
import type { RegistryState } from './state.ts'
import { Turns } from './turns.ts'
import type { KeyFields, PredefinedKind, ProjectFields } from './types.ts'

/**
 * Each resolves once this process's own registry has the change. All reject with ResourceNotFoundError when what they
 * are about is not there; with LOG_BUSY (nothing was recorded), LOG_UNAVAILABLE (it may have been) or
 * ServiceUnavailableError (it was, but is not back yet), all three a 503, when the log cannot keep up.
 */
export interface RegistryWrites {
  /** A project with its master, read and write key. */
  createProject(organizationId: string, fields: ProjectFields): Promise<Project>
  /** Fields that are not given stay. */
  updateProject(projectId: string, fields: Partial<ProjectFields>): Promise<Project>
  /** And all its keys and definitions, except that what was deleted from it stays remembered. */
  deleteProject(projectId: string): Promise<void>
  /** An access key. Rejects with InvalidRequestError when the project has as many keys as it may. */
  createKey(projectId: string, fields: KeyFields): Promise<ProjectKey>
  /** All fields, at once; what a read or write key permits is not among them (InvalidRequestFieldError). */
  replaceKey(projectId: string, keyId: string, fields: KeyFields): Promise<ProjectKey>
  revoke(projectId: string, keyId: string): Promise<ProjectKey>
  unrevoke(projectId: string, keyId: string): Promise<ProjectKey>
  deleteKey(projectId: string, keyId: string): Promise<void>
  /** A new secret for the master, read or write key, which is then active; the old secret works no more. */
  replaceSecret(projectId: string, kind: PredefinedKind): Promise<ProjectKey>
}

export interface WriteDeps {
  readonly state: RegistryState
  readonly seal: Seal
  /** Resolves once the messages have been applied to `state`. */
  readonly append: (messages: readonly LogMessage[]) => Promise<void>
  readonly now: () => number
  readonly limits: { readonly keysPerProjectMax: number; readonly projectsMax: number }
}

const newProjectId = (): string => randomBytes(12).toString('hex')
const newKeyId = (): string => randomBytes(8).toString('hex')
const newSecret = (): string => randomBytes(32).toString('hex').toUpperCase()

const NAMES: Readonly<Record<PredefinedKind, string>> = {
  master: 'Master Key',
  read: 'Read Key',
  write: 'Write Key',
}

export function createWrites({ state, seal, append, now, limits }: WriteDeps): RegistryWrites {
  const turns = new Turns()
  const notFound = (): AppError => new AppError('ResourceNotFoundError', 'Resource not found')

  const projectOf = (projectId: string): Project => {
    const project = state.project(projectId)
    if (project === undefined) throw notFound()
    return project
  }
  const keyOf = (projectId: string, keyId: string): ProjectKey => {
    projectOf(projectId)
    const key = state.key(projectId, keyId)
    if (key === undefined) throw notFound()
    return key
  }
  const predefined = (projectId: string, kind: PredefinedKind): ProjectKey => ({
    id: newKeyId(),
    projectId,
    kind,
    secret: newSecret(),
    name: NAMES[kind],
    isActive: true,
    permitted: PREDEFINED_PERMISSIONS[kind],
    options: NO_OPTIONS,
    createdAtMs: now(),
  })
  const putKey = async (key: ProjectKey): Promise<ProjectKey> => {
    await append([keyMessage(key, seal)])
    return keyOf(key.projectId, key.id)
  }
  const changeKey = (
    projectId: string,
    keyId: string,
    change: (key: ProjectKey) => Partial<KeyFields>,
  ): Promise<ProjectKey> =>
    turns.take(keyId, async () => {
      const key = keyOf(projectId, keyId)
      return putKey({ ...fieldsOf(key), ...change(key) })
    })
  /** Keys under way, by project: they count already. */
  const making = new Map<string, number>()
  const putNewKey = async (key: ProjectKey): Promise<ProjectKey> => {
    const { projectId } = key
    projectOf(projectId)
    const others = making.get(projectId) ?? 0
    if (state.keyCountOf(projectId) + others >= limits.keysPerProjectMax) {
      throw new AppError('InvalidRequestError', `The project has ${limits.keysPerProjectMax} keys, as many as it may`)
    }
    making.set(projectId, others + 1)
    try {
      return await putKey(key)
    } finally {
      const left = (making.get(projectId) ?? 1) - 1
      if (left === 0) making.delete(projectId)
      else making.set(projectId, left)
    }
  }

  return {
    async createProject(organizationId, fields) {
      if (state.projectCount >= limits.projectsMax) {
        throw new AppError('InvalidRequestError', `There are ${limits.projectsMax} projects, as many as there may be`)
      }
      const project: Project = { ...fields, id: newProjectId(), organizationId, isActive: true, createdAtMs: now() }
      const keys = (['master', 'read', 'write'] as const).map((kind) => predefined(project.id, kind))
      // The project last: where it is known, its keys are.
      await append([...keys.map((key) => keyMessage(key, seal)), projectMessage(project)])
      return projectOf(project.id)
    },
    updateProject(projectId, fields) {
      return turns.take(projectId, async () => {
        await append([projectMessage({ ...projectOf(projectId), ...fields })])
        return projectOf(projectId)
      })
    },
    deleteProject(projectId) {
      return turns.take(projectId, async () => {
        projectOf(projectId)
        // The project first: without it no key of it is taken.
        await append([
          projectDeletion(projectId),
          ...state.keys(projectId).map((key) => keyDeletion(projectId, key.id)),
          ...(['saved-query', 'dataset', 'stream', 'stream-backfill', 'stream-state', 'erasure'] as const).flatMap(
            (kind) =>
              state.definitions.list(kind, projectId).map(({ name }) => definitionDeletion(kind, projectId, name)),
          ),
        ])
      })
    },
    async createKey(projectId, fields) {
      const made = { id: newKeyId(), projectId, kind: 'access', secret: newSecret(), createdAtMs: now() } as const
      return putNewKey({ ...made, ...fields })
    },
    replaceKey(projectId, keyId, fields) {
      return changeKey(projectId, keyId, (key) => {
        if (key.kind === 'access') return fields
        checkPredefined(key, fields)
        return { name: fields.name, isActive: fields.isActive }
      })
    },
    revoke: (projectId, keyId) => changeKey(projectId, keyId, () => ({ isActive: false })),
    unrevoke: (projectId, keyId) => changeKey(projectId, keyId, () => ({ isActive: true })),
    deleteKey(projectId, keyId) {
      return turns.take(keyId, async () => {
        keyOf(projectId, keyId)
        await append([keyDeletion(projectId, keyId)])
      })
    },
    replaceSecret(projectId, kind) {
      const current = (): ProjectKey | undefined => state.keys(projectId).find((key) => key.kind === kind)
      return turns.take(current()?.id ?? `${kind} of ${projectId}`, async () => {
        const old = current()
        const fresh = predefined(projectId, kind)
        if (old === undefined) return putNewKey(fresh)
        projectOf(projectId)
        return putKey({ ...fresh, id: old.id, name: old.name, createdAtMs: old.createdAtMs })
      })
    },
  }
}

/** A key from the log shows its secret to who asks for it only; a record to be written needs it beside the rest. */
const fieldsOf = (key: ProjectKey): ProjectKey => ({
  id: key.id,
  projectId: key.projectId,
  kind: key.kind,
  secret: key.secret,
  name: key.name,
  isActive: key.isActive,
  permitted: key.permitted,
  options: key.options,
  createdAtMs: key.createdAtMs,
})

/** What read and write keys may do is the same in every project; one that may do something else is an access key. */
function checkPredefined(key: ProjectKey, fields: KeyFields): void {
  const has = new Set(key.permitted)
  if (fields.permitted.length !== has.size || fields.permitted.some((name) => !has.has(name))) {
    throw new AppError(
      'InvalidRequestFieldError',
      `permitted of the project's ${key.kind} key cannot be changed: make an access key instead`,
    )
  }
  if (Object.values(fields.options).some((group) => group !== null && Object.keys(group).length > 0)) {
    throw new AppError(
      'InvalidRequestFieldError',
      `options of the project's ${key.kind} key cannot be set: make an access key instead`,
    )
  }
}

import { timingSafeEqual } from 'node:crypto'
import type { Registry as MetricsRegistry } from 'prom-client'
import { AppError } from '../errors.ts'
import type { EventLog, LogMessage, LogRecord } from '../log/port.ts'
import { CONTROL_TOPIC } from '../log/topics.ts'
import type { DeletionIndex } from '../deletions/deletion-index.ts'
import { createDefinitions, type Definitions } from './definitions.ts'
import { startFollowing } from './following.ts'
import type { Authenticator, Grant } from './grant.ts'
import { Lookups } from './lookups.ts'
import { registryMetrics } from './metrics.ts'
import type { Project, ProjectKey } from './model.ts'
import { decodeRecord } from './records.ts'
import { ScopedKeys } from './scoped-keys.ts'
import { sealWith } from './seal.ts'
import { RegistryState, type HeldKey } from './state.ts'
import { createWrites, type RegistryWrites } from './writes.ts'

/** A part of pino's. */
export interface RegistryLogger {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface RegistryOptions {
  readonly log: Pick<EventLog, 'append' | 'follow'>
  /** The deployment's: what keys are sealed and looked up with. At least 16 characters; the same in every process, for ever. */
  readonly secret: string
  /** The deployment's one organization and its key. */
  readonly organization: { readonly id: string; readonly key: string }
  readonly metrics: MetricsRegistry
  readonly logger: RegistryLogger
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly limits?: Partial<RegistryLimits>
  /** Gives up opening (SHUTTING_DOWN), which a log that is away can hold up for long; afterwards the same as `close`. */
  readonly signal?: AbortSignal
}

export interface RegistryLimits {
  /** Of all kinds, master, read and write among them. */
  readonly keysPerProjectMax: number
  readonly projectsMax: number
  /** Of each kind: saved queries, datasets, deletions. */
  readonly definitionsPerKindMax: number
  /** How long a write waits for its record to come back from the log. */
  readonly writeTimeoutMs: number
  /** Presented keys whose hash is remembered. */
  readonly lookupsMax: number
}

const LIMITS: RegistryLimits = {
  keysPerProjectMax: 10_000,
  projectsMax: 10_000,
  definitionsPerKindMax: 10_000,
  writeTimeoutMs: 5_000,
  lookupsMax: 10_000,
}

/**
 * Projects and keys, as this process knows them: what the control topic says, in memory. Reading costs no I/O. A write
 * appends to the topic and resolves once this process has its record back; every other process has it within half a second.
 *
 * Requests of one process that change the same thing take turns. Between processes the last record wins: of two changes of
 * one project or key at the same moment, one is kept whole and the other is gone.
 */
export interface Registry extends Authenticator, RegistryWrites {
  /**
   * The grant of a key whose project the caller did not name. Throws InvalidApiKeyError as `authenticate` does, also when
   * the project is not there.
   */
  authenticateKey(presentedKey: string | undefined): Grant
  /** Throws ResourceNotFoundError for another organization's id, InvalidApiKeyError for a key that is not this one's. */
  authenticateOrganization(organizationId: string, presentedKey: string | undefined): void
  project(id: string): Project | undefined
  /** Of one organization, oldest first. */
  projects(organizationId: string): readonly Project[]
  /** Of one project, the master key left out, oldest first; `page` counts from 1; `name` is a part of the name in any case. */
  keys(
    projectId: string,
    query: { readonly name?: string; readonly page: number; readonly perPage: number },
  ): readonly ProjectKey[]
  /** The key of this project with this secret, active or not; undefined for the master key, which is not managed by itself. */
  key(projectId: string, secret: string): ProjectKey | undefined
  /** The keys that every project is made with; undefined for one that was deleted. */
  predefinedKeys(projectId: string): Readonly<Record<'master' | 'read' | 'write', ProjectKey | undefined>>
  /** Saved queries, datasets, deletions. */
  readonly definitions: Definitions
  /** Those among the definitions, by collection. */
  readonly deletions: DeletionIndex
  /** Aborts, with the reason, when the control topic can no longer be followed: what is known here grows old, and the process should end. */
  readonly failed: AbortSignal
  /** False when `failed`, or closed. */
  isReady(): boolean
  /** Stops following. Writes under way are refused with SHUTTING_DOWN. */
  close(): Promise<void>
}

const notFound = (): AppError => new AppError('ResourceNotFoundError', 'Resource not found')
const invalidKey = (): AppError =>
  new AppError('InvalidApiKeyError', 'The key is missing, unknown, revoked, or of another project')

const byAge = <T extends { readonly createdAtMs: number; readonly id: string }>(a: T, b: T): number =>
  a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1)

/**
 * Reads the control topic whole and goes on following it. Resolves once everything that was in it is known.
 * Rejects with CONFIG_INVALID when keys there were sealed with another deployment secret, LOG_UNAVAILABLE when the topic
 * cannot be read.
 */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const limits = { ...LIMITS, ...options.limits }
  const { log, logger, organization } = options
  const seal = sealWith(options.secret)
  const state = new RegistryState()
  const lookups = new Lookups(seal.lookup, limits.lookupsMax)
  const scoped = new ScopedKeys({
    lookup: seal.lookup,
    keysOf: (projectId) => state.keys(projectId),
    deletionsOf: (projectId) => state.deletionsOf(projectId),
    limitsOf: (projectId) => state.limitsOf(projectId),
    keysMax: limits.lookupsMax,
  })
  const metrics = registryMetrics(options.metrics, state)
  const organizationLookup = Buffer.from(seal.lookup(organization.key))

  const applyRecord = (record: LogRecord): void => {
    const change = decodeRecord(record, seal)
    state.apply(change)
    metrics.applied(change)
    const { offset } = record
    if ('aside' in change) logger.warn({ reason: change.aside, offset: String(offset) }, 'control record kept aside')
  }
  const following = startFollowing(log, CONTROL_TOPIC, applyRecord, options.signal)
  let isClosed = false
  const close = async (): Promise<void> => {
    isClosed = true
    await following.stop()
  }
  try {
    await following.caughtUp
    if (state.foreignKeyCount > 0) {
      throw new AppError(
        'CONFIG_INVALID',
        `TRIBUTARY_SECRET is not the secret that this deployment's keys were sealed with (${state.foreignKeyCount} of ` +
          `${state.foreignKeyCount + state.keyCount} keys): start with the one it was first started with`,
      )
    }
  } catch (error) {
    await close()
    throw error
  }
  following.failed.addEventListener('abort', () => {
    logger.error({ error: following.failed.reason }, 'control topic can no longer be followed')
  })
  logger.info({ projects: state.projectCount, keys: state.keyCount }, 'registry caught up')

  const append = async (messages: readonly LogMessage[]): Promise<void> => {
    const stop = metrics.timeWrite()
    const offset = (await log.append(CONTROL_TOPIC, messages)).get(0)
    if (offset === undefined) throw new AppError('LOG_REJECTED', 'the log gave no offset for a control record')
    await following.passed(offset, limits.writeTimeoutMs)
    stop()
  }

  /** The active key that was presented, whichever project's. */
  const presented = (presentedKey: string | undefined): HeldKey => activeKey(found(presentedKey))
  const found = (presentedKey: string | undefined): HeldKey | undefined => {
    if (presentedKey === undefined || presentedKey === '') throw metrics.refused('key_missing', invalidKey())
    return lookups.resolve(presentedKey, (lookup) => state.find(lookup))
  }
  const activeKey = (held: HeldKey | undefined): HeldKey => {
    if (held === undefined) throw metrics.refused('key_unknown', invalidKey())
    if (!held.key.isActive) throw metrics.refused('key_revoked', invalidKey())
    return held
  }

  return {
    ...createWrites({ state, seal, append, now: options.now, limits }),
    authenticate(projectId, presentedKey) {
      if (state.project(projectId)?.isActive !== true) throw metrics.refused('project_unknown', notFound())
      const held = found(presentedKey)
      const scopedGrant = held === undefined ? scoped.grant(projectId, presentedKey ?? '') : undefined
      if (scopedGrant !== undefined) return scopedGrant
      const { key, grant } = activeKey(held)
      if (key.projectId !== projectId) throw metrics.refused('key_unknown', invalidKey())
      return grant
    },
    authenticateKey(presentedKey) {
      const { key, grant } = presented(presentedKey)
      if (state.project(key.projectId)?.isActive !== true) throw metrics.refused('key_unknown', invalidKey())
      return grant
    },
    authenticateOrganization(organizationId, presentedKey) {
      if (organizationId !== organization.id) throw metrics.refused('organization_unknown', notFound())
      const lookup = Buffer.from(seal.lookup(presentedKey ?? ''))
      if (!timingSafeEqual(lookup, organizationLookup)) throw metrics.refused('key_unknown', invalidKey())
    },
    project: (id) => state.project(id),
    projects(organizationId) {
      return [...state.projects()].filter((project) => project.organizationId === organizationId).toSorted(byAge)
    },
    keys(projectId, { name, page, perPage }) {
      const wanted = name?.toLowerCase() ?? ''
      return state
        .keys(projectId)
        .filter((key) => key.kind !== 'master' && key.name.toLowerCase().includes(wanted))
        .toSorted(byAge)
        .slice((page - 1) * perPage, page * perPage)
    },
    key(projectId, secret) {
      const key = lookups.resolve(secret, (lookup) => state.find(lookup))?.key
      return key?.projectId === projectId && key.kind !== 'master' ? key : undefined
    },
    predefinedKeys(projectId) {
      const keys = state.keys(projectId).filter((key) => key.kind !== 'access')
      // One of each; should two processes have made one at the same moment, every process names the same.
      const of = (kind: ProjectKey['kind']): ProjectKey | undefined =>
        keys.toSorted(byAge).find((key) => key.kind === kind)
      return { master: of('master'), read: of('read'), write: of('write') }
    },
    deletions: state.deletions,
    definitions: createDefinitions({
      table: state.definitions,
      hasProject: (projectId) => state.project(projectId) !== undefined,
      append,
      now: options.now,
      perKindMax: limits.definitionsPerKindMax,
    }),
    failed: following.failed,
    isReady: () => !isClosed && !following.failed.aborted,
    close,
  }
}

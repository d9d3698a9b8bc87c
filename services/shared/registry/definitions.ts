import { randomUUID } from 'node:crypto'
import { AppError } from '../errors.ts'
import type { LogMessage } from '../log/port.ts'
import type { DefinitionListener, DefinitionTable } from './definition-table.ts'
import type { Definition, DefinitionKind } from './model.ts'
import { definitionDeletion, definitionMessage } from './records.ts'
import { Turns } from './turns.ts'

/**
 * What services keep of a project by name: in memory in every process, changed through the control topic. A write
 * resolves once this process's own table has it, and rejects as the registry's other writes do. The newest record wins
 * where two processes change one definition at the same moment.
 */
export interface Definitions {
  get(kind: DefinitionKind, projectId: string, name: string): Definition | undefined
  /** Of one project, by name. */
  list(kind: DefinitionKind, projectId: string): readonly Definition[]
  /** Of all projects, those that are gone among them. */
  all(kind: DefinitionKind): Iterable<Definition>
  /**
   * Makes or replaces. `name` has 1 to 256 of [A-Za-z0-9_-]. Rejects with ResourceNotFoundError for a project that is not there, with
   * InvalidRequestError when the project has as many of this kind as it may, or when `value` is larger than a record may be.
   */
  put(
    kind: DefinitionKind,
    projectId: string,
    name: string,
    value: Readonly<Record<string, unknown>>,
  ): Promise<Definition>
  /** Rejects with ResourceNotFoundError when it is not there. */
  delete(kind: DefinitionKind, projectId: string, name: string): Promise<void>
  /** Calls back after each change, whichever process made it, also for those that are read at the start. The listener must not throw. Gives a function that ends it. */
  onChange(listener: DefinitionListener): () => void
}

export interface DefinitionDeps {
  readonly table: DefinitionTable
  readonly hasProject: (projectId: string) => boolean
  /** Resolves once the messages have been applied to `table`. */
  readonly append: (messages: readonly LogMessage[]) => Promise<void>
  readonly now: () => number
  readonly perKindMax: number
}

const NAME = /^[A-Za-z0-9_-]{1,256}$/
/** Far below what a Kafka broker takes in one record. */
const VALUE_BYTES_MAX = 512 * 1024

export function createDefinitions({ table, hasProject, append, now, perKindMax }: DefinitionDeps): Definitions {
  const turns = new Turns()
  const notFound = (): AppError => new AppError('ResourceNotFoundError', 'Resource not found')

  return {
    get: (kind, projectId, name) => table.get(kind, projectId, name),
    list: (kind, projectId) => table.list(kind, projectId),
    all: (kind) => table.all(kind),
    onChange: (listener) => table.onChange(listener),
    put(kind, projectId, name, value) {
      return turns.take(`${kind}/${projectId}/${name}`, async () => {
        if (!hasProject(projectId)) throw notFound()
        if (!NAME.test(name)) throw new AppError('InvalidRequestError', 'A name has letters, digits, _ and - only.')
        const known = table.get(kind, projectId, name)
        if (known === undefined && table.count(kind, projectId) >= perKindMax) {
          throw new AppError(
            'InvalidRequestError',
            `The project has ${perKindMax} definitions of this kind, as many as it may.`,
          )
        }
        const changedAtMs = now()
        const createdAtMs = known?.createdAtMs ?? changedAtMs
        const definition = { kind, projectId, name, version: randomUUID(), createdAtMs, changedAtMs, value }
        const message = definitionMessage(definition)
        if ((message.value?.length ?? 0) > VALUE_BYTES_MAX) {
          throw new AppError('InvalidRequestError', `The definition is larger than ${VALUE_BYTES_MAX} bytes.`)
        }
        await append([message])
        return table.get(kind, projectId, name) ?? definition
      })
    },
    delete(kind, projectId, name) {
      return turns.take(`${kind}/${projectId}/${name}`, async () => {
        if (table.get(kind, projectId, name) === undefined) throw notFound()
        await append([definitionDeletion(kind, projectId, name)])
      })
    },
  }
}

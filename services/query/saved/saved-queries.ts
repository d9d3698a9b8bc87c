import { AppError } from '../../shared/errors.ts'
import type { EventLog } from '../../shared/log/port.ts'
import type { Definitions } from '../../shared/registry/definitions.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { Definition } from '../../shared/registry/model.ts'
import type { QueryContext } from '../context.ts'
import type { Fields } from '../language/parse.ts'
import { createRefreshMeters } from '../refresh/meters.ts'
import { createRefresher, type Refresher, type RefreshPlan } from '../refresh/refresher.ts'
import { createRunStore, placeKey } from '../refresh/runs.ts'
import { createResultVersion } from '../refresh/version.ts'
import { runGrant } from './access.ts'
import { parseSavedQuery, requireName, savedQueryOf, shownQuery, valueOf } from './definition.ts'
import { parseQuestion, savedQuestion } from './question.ts'

export interface SavedQueryPlace {
  readonly definitions: Definitions
  readonly log: Pick<EventLog, 'consume'>
  /** A grant that sees all rows of a project; undefined: there is no such project. */
  readonly projectGrant: (projectId: string) => Grant | undefined
}

export interface SavedAnswer {
  readonly definition: Readonly<Record<string, unknown>>
  readonly resultText: string
  /** Empty: there is none. */
  readonly metadataText: string
  /** Of a stored result, in seconds; null: it was computed now. */
  readonly ageS: number | null
}

type Shown = Readonly<Record<string, unknown>>

/** Saved and cached queries of all projects. Whoever calls has checked what the key permits. */
export interface SavedQueries {
  get(projectId: string, name: string): Definition | undefined
  list(projectId: string, signal: AbortSignal): Promise<readonly Shown[]>
  show(definition: Definition, signal: AbortSignal): Promise<Shown>
  /** Makes, replaces or renames. Throws what names the field that is wrong. */
  put(
    projectId: string,
    name: string,
    body: Fields,
  ): Promise<{ readonly isNew: boolean; readonly definition: Definition }>
  delete(projectId: string, name: string): Promise<void>
  answer(definition: Definition, grant: Grant, signal: AbortSignal): Promise<SavedAnswer>
  readonly refresher: Refresher
}

const KIND = 'saved-query'
export const REFRESH_GROUP = 'tributary.cached-queries'

export function createSavedQueries(
  context: QueryContext,
  { definitions, log, projectGrant }: SavedQueryPlace,
): SavedQueries {
  const { now, logger, runQuery: run } = context
  const settings = context.settings.saved
  const store = createRunStore(context.warehouse, 'cached_query_runs', settings.resultBytesMax)
  const versionOf = createResultVersion(definitions)
  let refresher: Refresher | undefined
  const meters = createRefreshMeters(context.metrics, 'cached_query', () => refresher?.stalestMs() ?? 0)
  const planOf = (definition: Definition): RefreshPlan | null => {
    const { refreshRateS: rateS, query } = savedQueryOf(definition)
    const question = savedQuestion(query)
    if (rateS === 0 || question === null) return null
    return {
      rateS,
      collections: question.collections,
      async compute({ grant }, signal) {
        const { result, executionMetadata: metadata } = await question.ask(run.toKeep, grant, signal)
        return { text: JSON.stringify(result), metadataText: metadata === undefined ? '' : JSON.stringify(metadata) }
      },
    }
  }
  refresher = createRefresher({
    log,
    group: REFRESH_GROUP,
    definitions,
    kind: KIND,
    planOf,
    store,
    versionOf,
    projectGrant,
    settings,
    // What was made under another definition, or before a deletion, is nobody's to keep.
    tidy: async ({ projectId, name, version }, isFirst) => {
      if (isFirst) await store.remove(projectId, name, version)
    },
    meters,
    logger,
    now,
  })

  const isCached = (definition: Definition): boolean => savedQueryOf(definition).refreshRateS > 0
  const versionNow = (definition: Definition): string =>
    versionOf(definition, savedQuestion(savedQueryOf(definition).query)?.collections ?? [])

  const shown = async (
    projectId: string,
    some: readonly Definition[],
    signal: AbortSignal,
  ): Promise<readonly Shown[]> => {
    const [only] = some
    const runs = some.some(isCached)
      ? await store.lastRuns(projectId, some.length === 1 && only !== undefined ? only.name : null, signal)
      : new Map<string, never>()
    return some.map((definition) =>
      shownQuery(
        definition,
        isCached(definition) ? runs.get(placeKey(definition.name, versionNow(definition))) : undefined,
      ),
    )
  }

  const remove = async (projectId: string, name: string): Promise<void> => {
    try {
      await store.remove(projectId, name)
    } catch (error) {
      // Nothing serves them: they carry the version of a definition that is gone.
      logger.warn({ project: projectId, query: name, err: error }, 'results of a saved query stay until they expire')
    }
  }

  return {
    refresher,
    get: (projectId, name) => definitions.get(KIND, projectId, name),
    list: async (projectId, signal) => shown(projectId, definitions.list(KIND, projectId), signal),
    show: async (definition, signal) => {
      const [only] = await shown(definition.projectId, [definition], signal)
      return only ?? shownQuery(definition, undefined)
    },
    async put(projectId, pathName, body) {
      const sentName = body['query_name'] ?? ''
      const name = requireName(sentName === '' ? pathName : sentName, sentName === '' ? 'The name' : 'query_name')
      requireName(pathName, 'The name')
      const known = definitions.get(KIND, projectId, pathName)
      const isRenamed = name !== pathName
      if (isRenamed && definitions.get(KIND, projectId, name) !== undefined) {
        throw new AppError('InvalidQueryNameError', 'query_name is the name of another saved query.')
      }
      const parsed = parseSavedQuery(body, settings)
      if (known === undefined && definitions.list(KIND, projectId).length >= settings.queriesMax) {
        throw new AppError(
          'InvalidRequestError',
          `The project has ${settings.queriesMax} saved queries, as many as it may.`,
        )
      }
      const createdAtMs = known === undefined ? now() : savedQueryOf(known).createdAtMs
      const definition = await definitions.put(KIND, projectId, name, valueOf({ ...parsed, createdAtMs }))
      if (isRenamed && known !== undefined) {
        await definitions.delete(KIND, projectId, pathName)
        if (isCached(known)) await remove(projectId, pathName)
      }
      return { isNew: known === undefined, definition }
    },
    async delete(projectId, name) {
      const known = definitions.get(KIND, projectId, name)
      await definitions.delete(KIND, projectId, name)
      if (known !== undefined && isCached(known)) await remove(projectId, name)
    },
    async answer(definition, grant, signal) {
      const saved = savedQueryOf(definition)
      const question = parseQuestion(saved.query)
      const own = runGrant(grant)
      const place = {
        projectId: grant.projectId,
        name: definition.name,
        version: versionOf(definition, question.collections),
      }
      if (saved.refreshRateS > 0 && own.seesAll) {
        const [stored, runs] = await Promise.all([
          store.result(place, signal),
          store.lastRuns(place.projectId, place.name, signal),
        ])
        if (stored !== undefined) {
          meters.answered('stored')
          const ageS = Math.max(0, Math.floor((now() - stored.ranAtMs) / 1_000))
          const lastRun = runs.get(placeKey(place.name, place.version))
          const { text: resultText, metadataText } = stored
          return { definition: shownQuery(definition, lastRun), resultText, metadataText, ageS }
        }
      }
      const answer = await context.inTurn(question.analysisType, own.grant, signal, async () => {
        const { result, executionMetadata, rowsRead } = await question.ask(run, own.grant, signal)
        return { answer: { result, executionMetadata }, rowsRead }
      })
      if (saved.refreshRateS > 0) meters.answered('computed')
      const metadata = answer.executionMetadata
      return {
        definition: (await shown(definition.projectId, [definition], signal))[0] ?? shownQuery(definition, undefined),
        resultText: JSON.stringify(answer.result),
        metadataText: metadata === undefined ? '' : JSON.stringify(metadata),
        ageS: null,
      }
    },
  }
}

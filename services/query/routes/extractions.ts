import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../shared/errors.ts'
import { presentedKey, queryValue } from '../../shared/http/presented-key.ts'
import type { Grant } from '../../shared/registry/grant.ts'
import type { QueryContext } from '../context.ts'
import { EXTRACTION_DOCS } from '../docs/extractions.ts'
import { CONTENT_TYPES, type Delivery } from '../extraction/delivery.ts'
import type { ExtractionJob } from '../extraction/files.ts'
import type { ExtractionNode, Query } from '../language/tree.ts'

type FileExtractions = NonNullable<QueryContext['fileExtractions']>

interface JobParams {
  readonly id: string
  readonly job: string
}

function placed(context: QueryContext): FileExtractions {
  if (context.fileExtractions !== undefined) return context.fileExtractions
  throw new AppError('InvalidRequestError', 'Extractions to files are not set up here.')
}

/** Begins a job, and gives the answer: `result` is all that a client made for Keen reads. */
export async function startExtraction(
  context: QueryContext,
  request: FastifyRequest,
  query: Query & { readonly analysis: ExtractionNode },
  grant: Grant,
  delivery: Delivery,
): Promise<object> {
  const { jobs } = placed(context)
  // The key itself stays in memory, and only until its job begins.
  const key = presentedKey(request)
  const grantNow = (): Grant => context.authenticator.authenticate(grant.projectId, key)
  const job = await jobs.submit({ query, grant, delivery, grantNow })
  return { result: 'Processing. Ask status_url for the link to the results.', job_id: job.id, status_url: urlOf(job) }
}

/** `/3.0/projects/:id/extractions`: what became of extractions to files, and the files. */
export function registerExtractionRoutes(app: FastifyInstance, context: QueryContext): void {
  const { jobs, links } = context.fileExtractions ?? {}
  app.addHook('preClose', async () => jobs?.close())

  const path = '/3.0/projects/:id/extractions'
  const shown = (job: ExtractionJob) => ({
    job_id: job.id,
    state: job.state,
    event_collection: job.collection,
    content_type: CONTENT_TYPES[job.format].split(';', 1)[0],
    content_encoding: job.gzip ? 'gzip' : null,
    events: job.events,
    bytes: job.bytes,
    created_at: moment(job.createdAtMs),
    started_at: moment(job.startedAtMs),
    ended_at: moment(job.endedAtMs),
    expires_at: moment(job.expiresAtMs),
    status_url: urlOf(job),
    download_url: job.state === 'done' ? (links?.sign(job, job.expiresAtMs) ?? null) : null,
    error: job.error === null ? null : { error_code: job.error.code, message: job.error.message },
  })

  app.get<{ Params: { id: string } }>(path, { config: { doc: EXTRACTION_DOCS.list } }, async (request) => {
    const grant = context.authorize(request, request.params.id, 'queries')
    return (await placed(context).jobs.list(grant)).map(shown)
  })
  app.get<{ Params: JobParams }>(`${path}/:job`, { config: { doc: EXTRACTION_DOCS.get } }, async (request) => {
    const grant = context.authorize(request, request.params.id, 'queries')
    return shown(await placed(context).jobs.get(grant, request.params.job))
  })
  app.delete<{ Params: JobParams }>(
    `${path}/:job`,
    { config: { doc: EXTRACTION_DOCS.remove } },
    async (request, reply) => {
      const grant = context.authorize(request, request.params.id, 'queries')
      await placed(context).jobs.remove(grant, request.params.job)
      return reply.code(204).send()
    },
  )
  app.get<{ Params: JobParams }>(
    `${path}/:job/file`,
    { config: { doc: EXTRACTION_DOCS.file } },
    async (request, reply) => sendFile(context, request, reply),
  )
}

async function sendFile(
  context: QueryContext,
  request: FastifyRequest<{ Params: JobParams }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const name = { projectId: request.params.id, id: request.params.job }
  const token = queryValue(request, 'token')
  let job: ExtractionJob | undefined
  if (token === undefined) {
    const grant = context.authorize(request, name.projectId, 'queries')
    job = await placed(context).jobs.get(grant, name.id)
  } else {
    const { links } = placed(context)
    if (!links.isGood(name, queryValue(request, 'expires'), token, context.now())) {
      throw new AppError('KeyNotAuthorizedError', 'The link is not good, or not any more.')
    }
    job = await context.extractions?.files.get(name)
  }
  const file = job?.state === 'done' ? await context.extractions?.files.read(name) : undefined
  if (job === undefined || file === undefined) {
    throw new AppError('ResourceNotFoundError', 'Resource not found: file of the extraction.')
  }
  const ending = `${job.format}${job.gzip ? '.gz' : ''}`
  reply
    .type(job.gzip ? 'application/gzip' : CONTENT_TYPES[job.format])
    .header('content-length', job.bytes)
    .header('content-disposition', `attachment; filename="extraction-${job.id}.${ending}"`)
    .header('cache-control', 'private, no-store')
    .header('x-content-type-options', 'nosniff')
  if (request.method !== 'HEAD') return reply.send(file)
  file.destroy()
  // The answer to a GET, less its body: text would be given a length of its own.
  return reply.send(Readable.from([]))
}

const urlOf = (job: ExtractionJob): string => `/3.0/projects/${job.projectId}/extractions/${job.id}`
const moment = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString())

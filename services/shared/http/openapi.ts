import type { TSchema } from 'typebox'
import type { AnswerDoc, RouteDoc } from './route-doc.ts'

export interface DescribedRoute {
  readonly method: string
  /** As the router writes it: `/3.0/projects/:projectId/events`. */
  readonly url: string
  readonly doc: RouteDoc
}

type Json = Readonly<Record<string, unknown>>

const TAGS: Readonly<Record<RouteDoc['tag'], string>> = {
  Events: 'Recording events.',
  Queries: 'Questions about one collection, asked now.',
  'Saved queries': 'Questions kept by name, and their results kept up to date.',
  Datasets: 'Results computed ahead, by index value and interval.',
  SQL: 'SELECT over a project’s collections.',
  Schema: 'Collections and their properties, and their deletion.',
  Keys: 'Access keys.',
  Streams: 'Deliveries of a project’s events into a bucket of its own.',
  Projects: 'Projects, and the organization they belong to.',
  Operations: 'Health and metrics, for those who run the service.',
}

/** The errors any route may answer with, whatever it does. */
const COMMON_ERRORS: Readonly<Record<number, string>> = {
  400: 'Something in the request is wrong; the message names it.',
  401: 'The key is missing, unknown, revoked, of another project, or not the one this needs.',
  403: 'The key does not allow this.',
  404: 'There is no such thing, or the key may not see it.',
  429: 'A limit of the key or the project is reached; `Retry-After` says when to try again.',
  500: 'A fault in the service.',
  503: 'The service cannot take the request now; `Retry-After` says when to try again.',
}

/** An OpenAPI 3.1 document of the routes, sorted by path: the same routes give the same document. */
export function describeApi(routes: readonly DescribedRoute[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const route of routes.toSorted((a, b) => (pathOf(a.url) < pathOf(b.url) ? -1 : 1))) {
    const path = (paths[pathOf(route.url)] ??= {})
    const method = route.method.toLowerCase()
    const known = path[method]
    path[method] = known === undefined ? operationOf(route) : bothOf(known, operationOf(route))
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tributary',
      version,
      description:
        'Events over HTTP, kept in a log, asked in a warehouse. Speaks the Keen 3.0 API and goes beyond it. Wherever a GET ' +
        'is described, HEAD works too.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'The server this document came from.' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        header: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: 'The key itself, without a scheme. Wins over `api_key`.',
        },
        parameter: { type: 'apiKey', in: 'query', name: 'api_key' },
      },
      schemas: {
        Error: {
          type: 'object',
          required: ['error_code', 'message'],
          properties: {
            error_code: { type: 'string', description: 'Stable; for programs.' },
            message: { type: 'string', description: 'For people; names the field that is wrong.' },
          },
        },
      },
      responses: Object.fromEntries(
        Object.entries(COMMON_ERRORS).map(([status, description]) => [`error${status}`, errorAnswer(description)]),
      ),
    },
  }
}

/** Two routes at one address and method, told apart by what the request carries, are one operation for a reader. */
function bothOf(one: Json, other: Json): Json {
  const list = (operation: Json, name: string): readonly Json[] =>
    (operation[name] as readonly Json[] | undefined) ?? []
  const named = [...list(one, 'parameters'), ...list(other, 'parameters')].map(
    (each) => [String(each['name']), each] as const,
  )
  const ok = (operation: Json): Json => (operation['responses'] as Readonly<Record<string, Json>>)['200'] ?? {}
  const content = { ...(ok(other)['content'] as Json), ...(ok(one)['content'] as Json) }
  return {
    ...one,
    tags: [...list(one, 'tags'), ...list(other, 'tags')],
    summary: `${String(one['summary'])}; or: ${String(other['summary'])}`,
    description: `${String(one['description'])}\n\nOr: ${String(other['description'])}`,
    parameters: [...new Map(named).values()].map((each) => ({
      ...each,
      ...(each['in'] === 'query' && { required: false }),
    })),
    responses: {
      ...(other['responses'] as Json),
      ...(one['responses'] as Json),
      200: { description: `${String(ok(one)['description'])} Or: ${String(ok(other)['description'])}`, content },
    },
  }
}

const pathOf = (url: string): string => url.replaceAll(/:([A-Za-z]+)/g, '{$1}')

function operationOf({ url, doc }: DescribedRoute): Json {
  const keys =
    doc.keys.length === 0 ? 'Needs no key.' : `Keys: ${doc.keys.map((kind) => keyName(kind, doc)).join(', ')}.`
  return {
    operationId: doc.operationId,
    tags: [doc.tag],
    summary: doc.summary,
    description: doc.description === undefined ? keys : `${doc.description}\n\n${keys}`,
    security: doc.keys.length === 0 ? [] : [{ header: [] }, { parameter: [] }],
    ...parametersOf(url, doc),
    ...(doc.body !== undefined && {
      requestBody: {
        ...(doc.body.description !== undefined && { description: doc.body.description }),
        required: true,
        content: { 'application/json': { schema: plain(doc.body.schema) } },
      },
    }),
    responses: answersOf(doc),
  }
}

const keyName = (kind: RouteDoc['keys'][number], doc: RouteDoc): string =>
  kind === 'access' && doc.permission !== undefined ? `access (\`${doc.permission}\`)` : kind

function parametersOf(url: string, doc: RouteDoc): Json {
  const inPath = [...url.matchAll(/:([A-Za-z]+)/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
    description: doc.path?.[name] ?? PATH_PARTS[name] ?? '',
  }))
  const query = doc.query?.properties ?? {}
  const required = new Set(doc.query?.required ?? [])
  const inQuery = Object.entries(query).map(([name, schema]) => {
    const { description, ...rest } = plain(schema)
    return {
      name,
      in: 'query',
      required: required.has(name),
      schema: rest,
      ...(description !== undefined && { description }),
    }
  })
  const parameters = [...inPath, ...inQuery]
  return parameters.length === 0 ? {} : { parameters }
}

const PATH_PARTS: Readonly<Record<string, string>> = {
  projectId: 'The project’s id.',
  id: 'The project’s id.',
  organizationId: 'The organization’s id.',
  collection: 'The collection’s name, percent-encoded.',
}

function answersOf(doc: RouteDoc): Json {
  const errors = [500, 503, ...(doc.keys.length === 0 ? [] : [401, 429]), 400]
  if (doc.keys.includes('access')) errors.push(403)
  if (doc.keys.length > 0) errors.push(404)
  const common = errors.map((status) => [status, { $ref: `#/components/responses/error${status}` }] as const)
  const own = Object.entries(doc.answers).map(
    ([status, answer]) => [Number(status), answerOf(Number(status), answer)] as const,
  )
  return Object.fromEntries([...new Map<number, unknown>([...common, ...own])].toSorted(([a], [b]) => a - b))
}

function answerOf(status: number, { description, schema, contentTypes }: AnswerDoc): Json {
  if (status >= 400) return errorAnswer(description)
  if (schema === undefined && contentTypes === undefined) return { description }
  const content = (contentTypes ?? ['application/json']).map((type) => [
    type,
    schema === undefined ? {} : { schema: plain(schema) },
  ])
  return { description, content: Object.fromEntries(content) }
}

const errorAnswer = (description: string): Json => ({
  description,
  content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
})

/** A schema as JSON alone: what the library hangs on it for itself does not survive. */
const plain = (schema: TSchema): Record<string, unknown> =>
  JSON.parse(JSON.stringify(schema)) as Record<string, unknown>

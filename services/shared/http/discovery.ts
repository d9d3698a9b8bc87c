import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import document from '../../../schemas/openapi/openapi.json' with { type: 'json' }
import type { RouteDoc } from './route-doc.ts'

const VERSIONS = [
  { is_public: false, url: '/1.0', version: '1.0' },
  { is_public: false, url: '/2.0', version: '2.0' },
  { is_public: true, url: '/3.0', version: '3.0' },
]

const doc = (fields: Pick<RouteDoc, 'operationId' | 'summary' | 'answers'>): { config: { doc: RouteDoc } } => ({
  config: { doc: { tag: 'Projects', keys: [], ...fields } },
})

const DOCS = {
  versions: doc({
    operationId: 'listVersions',
    summary: 'Versions of the API',
    answers: {
      200: {
        description: 'All of them.',
        schema: Type.Array(Type.Object({ is_public: Type.Boolean(), url: Type.String(), version: Type.String() })),
      },
    },
  }),
  resources: doc({
    operationId: 'listResources',
    summary: 'Where projects are',
    answers: {
      200: { description: 'A link.', schema: Type.Object({ projects_resource_url: Type.String() }) },
    },
  }),
  openApi: doc({
    operationId: 'getOpenApi',
    summary: 'This document',
    answers: { 200: { description: 'An OpenAPI 3.1 document.', schema: Type.Object({}) } },
  }),
}

/** The same from every process of a deployment, whichever services it runs: what is checked in, not what is registered here. */
const DOCUMENT = JSON.stringify(document)

/** What API versions there are, and where projects are. Says nothing about any project, so it asks for no key. */
export function registerDiscovery(app: FastifyInstance): void {
  app.get('/', DOCS.versions, () => VERSIONS)
  app.get('/3.0', DOCS.resources, () => ({ projects_resource_url: '/3.0/projects' }))
  app.get('/openapi.json', DOCS.openApi, (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(DOCUMENT),
  )
}

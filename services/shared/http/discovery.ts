import type { FastifyInstance } from 'fastify'

const VERSIONS = [
  { is_public: false, url: '/1.0', version: '1.0' },
  { is_public: false, url: '/2.0', version: '2.0' },
  { is_public: true, url: '/3.0', version: '3.0' },
]

/** What API versions there are, and where projects are. Says nothing about any project, so it asks for no key. */
export function registerDiscovery(app: FastifyInstance): void {
  app.get('/', () => VERSIONS)
  app.get('/3.0', () => ({ projects_resource_url: '/3.0/projects' }))
}

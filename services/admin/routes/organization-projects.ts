import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Project } from '../../shared/registry/model.ts'
import type { PredefinedKind } from '../../shared/registry/types.ts'
import { ORGANIZATION_DOCS } from '../docs.ts'
import { parseNewProject, parseProjectChange } from '../domain/project-body.ts'
import { organizationProjectView } from '../domain/views.ts'
import { bodyOf, notFound, pathPart, requireOrganization, type RouteDeps } from '../request.ts'

const PROJECTS = '/3.0/organizations/:organizationId/projects'
const PROJECT = `${PROJECTS}/:projectId`

const PREDEFINED: ReadonlySet<string> = new Set<PredefinedKind>(['master', 'read', 'write'])
const isPredefined = (kind: string): kind is PredefinedKind => PREDEFINED.has(kind)

/** What the organization's key may do: make, see, change and delete projects. */
export function registerOrganizationRoutes(app: FastifyInstance, { registry, audit, settings }: RouteDeps): void {
  const view = (project: Project): object => organizationProjectView(project, registry.predefinedKeys(project.id))

  /** The organization and the project in the path; another organization's project is not there. */
  const open = (request: FastifyRequest): { readonly by: string; readonly project: Project } => {
    const by = requireOrganization(request, registry)
    const project = registry.project(pathPart(request, 'projectId'))
    if (project?.organizationId !== by) throw notFound()
    return { by, project }
  }

  app.get(PROJECTS, ORGANIZATION_DOCS.list, async (request) =>
    registry.projects(requireOrganization(request, registry)).map(view),
  )

  app.post(PROJECTS, ORGANIZATION_DOCS.create, async (request, reply) => {
    const by = requireOrganization(request, registry)
    const project = await registry.createProject(by, parseNewProject(bodyOf(request, settings)))
    audit({ action: 'project created', requestId: request.id, by, projectId: project.id })
    return reply.code(201).send(view(project))
  })

  app.get(PROJECT, ORGANIZATION_DOCS.get, async (request) => view(open(request).project))

  app.post(PROJECT, ORGANIZATION_DOCS.update, async (request) => {
    const { by, project } = open(request)
    const changed = await registry.updateProject(project.id, parseProjectChange(bodyOf(request, settings)))
    audit({ action: 'project updated', requestId: request.id, by, projectId: project.id })
    return view(changed)
  })

  app.delete(PROJECT, ORGANIZATION_DOCS.delete, async (request, reply) => {
    const { by, project } = open(request)
    await registry.deleteProject(project.id)
    audit({ action: 'project deleted', requestId: request.id, by, projectId: project.id })
    return reply.code(204).send()
  })

  // Ours: the Keen API has no way to replace a key that leaked and stay with the same project.
  app.post(`${PROJECT}/api_keys/:kind/replace`, ORGANIZATION_DOCS.replaceKey, async (request) => {
    const { by, project } = open(request)
    const kind = pathPart(request, 'kind')
    if (!isPredefined(kind)) throw notFound()
    const key = await registry.replaceSecret(project.id, kind)
    audit({ action: 'project key replaced', requestId: request.id, by, projectId: project.id, keyId: key.id })
    return view(project)
  })
}

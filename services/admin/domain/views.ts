import type { Project, ProjectKey } from '../../shared/registry/model.ts'

/** A key as the API gives it: the API's five groups of options always, null where they are not set; limits where they are. */
export function keyView(key: ProjectKey): object {
  const { writes, queries, saved_queries, cached_queries, datasets, limits = null } = key.options
  return {
    key: key.secret,
    name: key.name,
    is_active: key.isActive,
    permitted: key.permitted,
    project_id: key.projectId,
    options: { writes, queries, saved_queries, cached_queries, datasets, ...(limits !== null && { limits }) },
  }
}

type Keys = Readonly<Record<'master' | 'read' | 'write', ProjectKey | undefined>>

/** A project as its organization sees it, with the keys that it was made with; null for one that was deleted. */
export function organizationProjectView(project: Project, keys: Keys): object {
  return {
    id: project.id,
    name: project.name,
    organization_id: project.organizationId,
    api_keys: {
      master: keys.master?.secret ?? null,
      write: keys.write?.secret ?? null,
      read: keys.read?.secret ?? null,
    },
    is_active: project.isActive,
    users: project.users,
    preferences: project.preferences,
  }
}

/** A project as its own keys see it. */
export function projectView(
  project: Project,
  { collections, savedQueries }: { readonly collections: readonly string[]; readonly savedQueries: readonly string[] },
): object {
  const url = `/3.0/projects/${project.id}`
  return {
    id: project.id,
    name: project.name,
    organization_id: project.organizationId,
    is_active: project.isActive,
    events: collections.map((name) => ({ name, url: `${url}/events/${encodeURIComponent(name)}` })),
    events_url: `${url}/events`,
    queries_url: `${url}/queries`,
    saved_queries: savedQueries.map((name) => ({ query_name: name, url: `${url}/queries/saved/${name}` })),
    url,
  }
}

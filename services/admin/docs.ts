import { type TSchema, Type } from 'typebox'
import type { RouteDoc } from '../shared/http/route-doc.ts'
import { PERMISSIONS } from '../shared/registry/model.ts'

/** What `/openapi.json` says about the routes of this service. */

const Nullable = (schema: TSchema): TSchema => Type.Union([schema, Type.Null()])
const JsonObject = Type.Record(Type.String(), Type.Unknown())

const KeyFields = {
  name: Type.String({ maxLength: 256 }),
  is_active: Type.Boolean(),
  permitted: Type.Array(Type.Enum([...PERMISSIONS])),
  options: Type.Object({
    writes: Type.Optional(
      Nullable(Type.Object({ autofill: JsonObject }, { description: 'Merged over every event written with the key.' })),
    ),
    queries: Type.Optional(
      Nullable(Type.Object({ filters: Type.Array(JsonObject) }, { description: 'Added to every query.' })),
    ),
    saved_queries: Type.Optional(Nullable(JsonObject)),
    cached_queries: Type.Optional(Nullable(JsonObject)),
    datasets: Type.Optional(Nullable(JsonObject)),
  }),
}
const KeyBody = Type.Partial(Type.Object(KeyFields))
const Key = Type.Object({ key: Type.String(), project_id: Type.String(), ...KeyFields })

const ProjectBody = Type.Object({
  name: Type.String(),
  users: Type.Optional(Type.Array(Type.Object({ email: Type.String() }))),
  preferences: Type.Optional(JsonObject),
})
const OrganizationProject = Type.Object({
  id: Type.String(),
  name: Type.String(),
  organization_id: Type.String(),
  api_keys: Type.Object({
    master: Nullable(Type.String()),
    write: Nullable(Type.String()),
    read: Nullable(Type.String()),
  }),
  is_active: Type.Boolean(),
  users: Type.Array(Type.Object({ email: Type.String() })),
  preferences: JsonObject,
})
const Project = Type.Object({
  id: Type.String(),
  name: Type.String(),
  organization_id: Type.String(),
  is_active: Type.Boolean(),
  events: Type.Array(Type.Object({ name: Type.String(), url: Type.String() })),
  events_url: Type.String(),
  queries_url: Type.String(),
  saved_queries: Type.Array(Type.Unknown()),
  url: Type.String(),
})

type Config = { readonly config: { readonly doc: RouteDoc } }

const master = (fields: Omit<RouteDoc, 'tag' | 'keys'>): Config => ({
  config: { doc: { tag: 'Keys', keys: ['master'], path: { key: 'The access key itself.' }, ...fields } },
})
const organization = (fields: Omit<RouteDoc, 'tag' | 'keys'>): Config => ({
  config: { doc: { tag: 'Projects', keys: ['organization'], ...fields } },
})
const ok = (description: string, schema: TSchema): RouteDoc['answers'] => ({ 200: { description, schema } })
const GONE: RouteDoc['answers'] = { 204: { description: 'It is gone.' } }

export const KEY_DOCS = {
  list: master({
    operationId: 'listKeys',
    summary: 'The project’s keys',
    description: 'A page that is not full is the last one.',
    query: Type.Object({
      name: Type.Optional(Type.String({ description: 'A part of the name, in any case.' })),
      page: Type.Optional(Type.Integer({ minimum: 1, default: 1 })),
      per_page: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 200 })),
    }),
    answers: ok('Oldest first; without the master key.', Type.Array(Key)),
  }),
  create: master({
    operationId: 'createKey',
    summary: 'Make an access key',
    body: { schema: KeyBody },
    answers: { 201: { description: 'The key.', schema: Key } },
  }),
  get: master({ operationId: 'getKey', summary: 'One key', answers: ok('The key.', Key) }),
  replace: master({
    operationId: 'replaceKey',
    summary: 'Change a key',
    description: 'Replaces everything: what the body leaves out is blanked.',
    body: { schema: KeyBody },
    answers: ok('The key as it is now.', Key),
  }),
  revoke: master({
    operationId: 'revokeKey',
    summary: 'Stop a key from working',
    description: 'Everywhere, within a second.',
    answers: ok('The key, not active.', Key),
  }),
  unrevoke: master({
    operationId: 'unrevokeKey',
    summary: 'Let a revoked key work again',
    answers: ok('The key, active.', Key),
  }),
  delete: master({ operationId: 'deleteKey', summary: 'Delete a key', answers: GONE }),
}

export const ORGANIZATION_DOCS = {
  list: organization({
    operationId: 'listOrganizationProjects',
    summary: 'All projects',
    answers: ok('Oldest first.', Type.Array(OrganizationProject)),
  }),
  create: organization({
    operationId: 'createProject',
    summary: 'Make a project',
    description: 'With its master, read and write keys.',
    body: { schema: ProjectBody },
    answers: { 201: { description: 'The project and its keys.', schema: OrganizationProject } },
  }),
  get: organization({
    operationId: 'getOrganizationProject',
    summary: 'One project and its keys',
    answers: ok('The project.', OrganizationProject),
  }),
  update: organization({
    operationId: 'updateProject',
    summary: 'Change a project',
    description: 'What the body leaves out stays; `users` replaces the whole list.',
    body: { schema: Type.Partial(ProjectBody) },
    answers: ok('The project as it is now.', OrganizationProject),
  }),
  delete: organization({
    operationId: 'deleteProject',
    summary: 'Delete a project',
    description: 'And all its keys and definitions.',
    answers: GONE,
  }),
  replaceKey: organization({
    operationId: 'replaceProjectKey',
    summary: 'Replace a key that leaked',
    path: { kind: '`master`, `read` or `write`.' },
    answers: ok('The project with its new key.', OrganizationProject),
  }),
}

export const PROJECT_DOCS: Readonly<Record<'list' | 'get', Config>> = {
  list: {
    config: {
      doc: {
        operationId: 'listProjects',
        tag: 'Projects',
        keys: ['master'],
        summary: 'The projects of the key: one',
        answers: ok('A list of one.', Type.Array(Project)),
      },
    },
  },
  get: {
    config: {
      doc: {
        operationId: 'getProject',
        tag: 'Projects',
        keys: ['master'],
        summary: 'One project',
        answers: ok('The project.', Project),
      },
    },
  },
}

const usage = (fields: Omit<RouteDoc, 'tag' | 'keys'>): Config => ({
  config: { doc: { tag: 'Projects', keys: ['master'], ...fields } },
})

export const USAGE_DOCS = {
  usage: usage({
    operationId: 'getOrganizationUsage',
    summary: 'How many results are kept up to date',
    answers: ok(
      'There is no limit.',
      Type.Object({
        cached_queries: Type.Object({
          limited: Type.Boolean(),
          limit: Type.Integer(),
          current_usage: Type.Integer(),
        }),
      }),
    ),
  }),
  limits: usage({
    operationId: 'getLimits',
    summary: 'The same, as older clients ask it',
    answers: ok(
      'A limit of 0 is none.',
      Type.Object({
        cached_queries: Type.Object({ organization_limit: Type.Integer(), in_use: Type.Integer() }),
      }),
    ),
  }),
}

/** A small client of the HTTP API for the tests; the published SDKs have their own suite in test/compat. */

export interface Deployment {
  readonly organizationId: string
  readonly organizationKey: string
  readonly secret: string
}

/** Fixed credentials, given to every process of a test's deployment. */
export const DEPLOYMENT: Deployment = {
  organizationId: '5f0000000000000000000001',
  organizationKey: 'A1'.repeat(32),
  secret: 'a deployment secret that only tests use, 0123456789',
}

export const deploymentEnv = (deployment: Deployment): Record<string, string> => ({
  TRIBUTARY_ORGANIZATION_ID: deployment.organizationId,
  TRIBUTARY_ORGANIZATION_KEY: deployment.organizationKey,
  TRIBUTARY_SECRET: deployment.secret,
})

export interface Answer {
  readonly status: number
  readonly body: unknown
}

/** One call; the body of the answer is parsed, or undefined when empty. */
export async function call(
  method: string,
  url: string,
  options: { readonly key?: string; readonly body?: unknown; readonly headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(options.key === undefined ? {} : { authorization: options.key }),
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}

export interface ProjectKeys {
  readonly id: string
  readonly master: string
  readonly write: string
  readonly read: string
}

export async function createProject(adminUrl: string, deployment: Deployment, name: string): Promise<ProjectKeys> {
  const { status, body } = await call('POST', `${adminUrl}/3.0/organizations/${deployment.organizationId}/projects`, {
    key: deployment.organizationKey,
    body: { name, users: [] },
  })
  if (status !== 201) throw new Error(`project not made: ${status} ${JSON.stringify(body)}`)
  const project = body as { id: string; api_keys: { master: string; write: string; read: string } }
  return { id: project.id, ...project.api_keys }
}

/** The `result` of an analysis, or an error with what came back. */
export async function ask(
  queryUrl: string,
  project: string,
  key: string,
  analysis: string,
  query: Record<string, unknown>,
): Promise<unknown> {
  const { status, body } = await call('POST', `${queryUrl}/3.0/projects/${project}/queries/${analysis}`, {
    key,
    body: query,
  })
  if (status !== 200) throw new Error(`${analysis}: ${status} ${JSON.stringify(body)}`)
  return (body as { result: unknown }).result
}

import { relative } from 'node:path'
import type { OpenedOrganization } from '../../shared/config/organization.ts'

/** What a person who started everything on a terminal wants to see. Holds no key. */
export function banner(options: {
  readonly version: string
  readonly url: string
  readonly organization: OpenedOrganization
  readonly cwd: string
  readonly log: string
  readonly warehouse: string
}): string {
  const { url, organization } = options
  const inside = relative(options.cwd, organization.file)
  const file = inside.startsWith('..') ? organization.file : inside
  const kept =
    organization.source === 'environment'
      ? 'set in the environment'
      : `kept in ${file}${organization.isNew ? ', made just now: keep a copy of it, it cannot be made again' : ''}`
  const field = (name: string): string => `$(node -p 'require("${organization.file}").${name}')`
  const [id, key] =
    organization.source === 'environment'
      ? ['$TRIBUTARY_ORGANIZATION_ID', '$TRIBUTARY_ORGANIZATION_KEY']
      : [field('organization_id'), field('organization_key')]
  return `
  Tributary ${options.version} is up at ${url}

    organization  ${organization.id}
    its key       ${kept}
    log           ${options.log}
    warehouse     ${options.warehouse}

  Next, in another terminal: real flights and five questions about them,

    npm run demo

  or a project of your own, whose keys the answer holds:

    curl -s "${url}/3.0/organizations/${id}/projects" \\
      -H "Authorization: ${key}" \\
      -H 'Content-Type: application/json' -d '{"name": "Mine", "users": []}'

  then an event with its write key, and a question with its read key:

    curl -s ${url}/3.0/projects/PROJECT/events/visits -H 'Authorization: WRITE_KEY' \\
      -H 'Content-Type: application/json' -d '{"page": "/", "ms": 12}'
    curl -s '${url}/3.0/projects/PROJECT/queries/count?event_collection=visits&timeframe=this_1_hours' \\
      -H 'Authorization: READ_KEY'

  ctrl-c stops it; nothing is lost.

`
}

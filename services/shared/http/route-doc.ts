import type { TObject, TSchema } from 'typebox'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the API's description says about the route; a route without it is left out of there. */
    doc?: RouteDoc
  }
}

/** A route, described for people and for generators of clients: the source of `/openapi.json`. */
export interface RouteDoc {
  /** Unique, camelCase: `runAnalysis`. */
  readonly operationId: string
  readonly tag:
    | 'Events'
    | 'Queries'
    | 'Saved queries'
    | 'Datasets'
    | 'SQL'
    | 'Schema'
    | 'Keys'
    | 'Streams'
    | 'Projects'
    | 'Operations'
  readonly summary: string
  readonly description?: string
  /** Whose keys may call it; none is everybody's. */
  readonly keys: readonly ('master' | 'write' | 'read' | 'access' | 'organization')[]
  /** Of an access key: what it has to permit. */
  readonly permission?: string
  /** What the parts of the path mean, by their names there. */
  readonly path?: Readonly<Record<string, string>>
  readonly query?: TObject
  readonly body?: { readonly schema: TSchema; readonly description?: string }
  /** By status. Errors have one shape, so that a description is enough for them. */
  readonly answers: Readonly<Record<number, AnswerDoc>>
}

export interface AnswerDoc {
  readonly description: string
  readonly schema?: TSchema
  /** Default `application/json`. */
  readonly contentTypes?: readonly string[]
}

import type { ListedHost } from './endpoints.ts'

/** What an operator allows streams. */
export interface StreamSettings {
  /** Hosts that a stream may name as its endpoint, besides Amazon's and Google's own. */
  readonly endpoints: readonly ListedHost[]
  /** Under which streams of the kind `folder` write, absolute; undefined: there are none. */
  readonly folder: string | undefined
  /** Most streams of one project. */
  readonly perProjectMax: number
}

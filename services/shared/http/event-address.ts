/**
 * A GET of a collection is two things at one address: with an event in it (`data`) it records, without one it asks for the
 * schema. Two services answer, which do not know each other; the router tells them apart.
 */
export const CARRIES_EVENT = { event: 'carried' } as const
export const PLAIN_READ = { event: 'none' } as const

const DATA = /[?&]data=/

/** For the router's constraints. */
export const eventConstraint = {
  name: 'event',
  mustMatchWhenDerived: false,
  storage<Handler>() {
    const handlers = new Map<string, Handler>()
    return {
      get: (value: string): Handler | null => handlers.get(value) ?? null,
      set: (value: string, handler: Handler): void => {
        handlers.set(value, handler)
      },
    }
  },
  deriveConstraint: (request: { readonly url?: string | undefined }): string =>
    DATA.test(request.url ?? '') ? CARRIES_EVENT.event : PLAIN_READ.event,
}

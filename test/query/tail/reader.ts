import { setTimeout as delay } from 'node:timers/promises'

export interface Message {
  readonly event: string
  readonly id: string | undefined
  readonly data: unknown
}

/** A reader of server-sent events, as the standard says how to read them. */
export interface TailReader {
  readonly status: number
  readonly headers: Headers
  readonly messages: readonly Message[]
  /** The events among them. */
  readonly events: readonly Readonly<Record<string, unknown>>[]
  readonly comments: readonly string[]
  /** Resolves when the stream is over, however. */
  readonly ended: Promise<void>
  /** Waits until `check` holds of what has come. */
  until(check: (reader: TailReader) => boolean, what: string): Promise<void>
  leave(): void
}

export async function openTail(
  server: { readonly url: string; readonly project: { readonly id: string } },
  key: string,
  parameters: Readonly<Record<string, string>> | URLSearchParams = {},
): Promise<TailReader> {
  const stop = new AbortController()
  const query = new URLSearchParams(parameters)
  query.set('api_key', key)
  const response = await fetch(`${server.url}/3.0/projects/${server.project.id}/tail?${query}`, {
    signal: stop.signal,
  })
  const messages: Message[] = []
  const comments: string[] = []
  let text = ''
  const take = (): void => {
    for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
      const fields = new Map<string, string>()
      for (const line of text.slice(0, end).split('\n')) {
        const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? []
        if (name === '') comments.push(value)
        else fields.set(name, value)
      }
      text = text.slice(end + 2)
      const data = fields.get('data')
      if (data === undefined) continue
      messages.push({ event: fields.get('event') ?? 'message', id: fields.get('id'), data: JSON.parse(data) })
    }
  }
  const run = async (): Promise<void> => {
    if (response.body === null) return
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk
      take()
    }
  }
  const ended = run().catch(() => undefined)
  const reader: TailReader = {
    status: response.status,
    headers: response.headers,
    messages,
    comments,
    get events() {
      return messages
        .filter(({ event }) => event === 'message')
        .map(({ data }) => data as Readonly<Record<string, unknown>>)
    },
    ended,
    async until(check, what) {
      const deadlineMs = performance.now() + 10_000
      while (!check(reader)) {
        if (performance.now() > deadlineMs) throw new Error(`not within 10 s: ${what}; ${JSON.stringify(messages)}`)
        await delay(5)
      }
    },
    leave: () => stop.abort(),
  }
  return reader
}

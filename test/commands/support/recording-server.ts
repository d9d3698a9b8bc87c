import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

interface Reply {
  readonly status: number
  readonly body: unknown
}

/**
 * Keeps the part of the recording API's promise that an importer leans on: events of a bulk request are stored once a
 * name (`Idempotency-Key`), and each gets its own result. `before` may answer instead, or refuse by destroying.
 */
export async function startRecordingServer(
  before: (request: {
    readonly number: number
    readonly name: string
    /** Of the body, as it was sent. */
    readonly sent: string
  }) => Reply | 'drop-after-storing' | undefined = () => undefined,
) {
  const stored = new Map<string, unknown[]>()
  let requests = 0
  const server = createServer((request, response) => {
    void (async () => {
      const sent = await text(request)
      const body = JSON.parse(sent) as Record<string, Record<string, unknown>[]>
      const name = String(request.headers['idempotency-key'])
      requests += 1
      const instead = before({ number: requests, name, sent })
      if (instead !== undefined && instead !== 'drop-after-storing') {
        response.writeHead(instead.status).end(JSON.stringify(instead.body))
        return
      }
      const result: Record<string, unknown[]> = {}
      const good: unknown[] = []
      for (const [collection, events] of Object.entries(body)) {
        result[collection] = events.map((event) => {
          if ('bad.name' in event)
            return { success: false, error: { name: 'InvalidPropertyNameError', description: 'no' } }
          good.push(event)
          return { success: true }
        })
      }
      if (!stored.has(name)) stored.set(name, good)
      if (instead === 'drop-after-storing') {
        response.destroy()
        return
      }
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(result))
    })()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    events: () => [...stored.values()].flat() as Record<string, unknown>[],
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}

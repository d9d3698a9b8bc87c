import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Stands between a client and a server, and is away when a test says so. */
export interface BreakableTcp {
  readonly url: string
  /** Cuts every connection and refuses new ones. */
  cut(): Promise<void>
  mend(): Promise<void>
  close(): Promise<void>
}

/** In front of `target`, `http://host:port`. */
export async function openBreakableTcp(target: string): Promise<BreakableTcp> {
  const { hostname, port: targetPort } = new URL(target)
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
  }
  let port = 0
  let server: Server | undefined
  const listen = async (): Promise<void> => {
    server = createServer((client) => {
      const upstream = connect(Number(targetPort), hostname)
      for (const socket of [client, upstream]) keep(socket)
      client.pipe(upstream).pipe(client)
      client.once('close', () => upstream.destroy())
      upstream.once('close', () => client.destroy())
    }).listen(port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address !== null && typeof address !== 'string') port = address.port
  }
  const cut = async (): Promise<void> => {
    const open = server
    server = undefined
    if (open === undefined) return
    const closed = once(open, 'close')
    open.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await listen()
  return { url: `http://127.0.0.1:${port}`, cut, mend: listen, close: cut }
}

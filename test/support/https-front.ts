import { once } from 'node:events'
import { Agent, type RequestOptions } from 'node:https'
import https from 'node:https'
import { connect } from 'node:net'
import { createServer, connect as connectTls } from 'node:tls'
import { generate } from 'selfsigned'

/**
 * Node builds of keen-analysis always speak TLS to port 443 of their host. This stands where a deployment's TLS proxy would:
 * it ends TLS and passes the bytes on to `target`; and this process's https connections are led to it, whatever host they name.
 */
export async function leadHttpsTo(target: URL): Promise<{ close(): Promise<void> }> {
  const pem = await generate([{ name: 'commonName', value: 'tributary.test' }], { keySize: 2048 })
  const server = createServer({ key: pem.private, cert: pem.cert }, (socket) => {
    const onward = connect(Number(target.port), target.hostname)
    socket.pipe(onward).pipe(socket)
    socket.on('error', () => onward.destroy())
    onward.on('error', () => socket.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  const before = https.globalAgent
  const agent = new Agent({ keepAlive: false })
  agent.createConnection = (_options: RequestOptions) =>
    connectTls({
      host: '127.0.0.1',
      port: address.port,
      ca: pem.cert,
      servername: 'tributary.test',
      checkServerIdentity: () => undefined,
    })
  https.globalAgent = agent
  return {
    close: async () => {
      https.globalAgent = before
      agent.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

import type { FastifyInstance } from 'fastify'
import { AppError } from '../../shared/errors.ts'

/** Begins to listen; resolves with the URL for this machine. Throws CONFIG_INVALID with what to do. */
export async function listen(
  app: FastifyInstance,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<string> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    throw new AppError('CONFIG_INVALID', refusal((error as NodeJS.ErrnoException).code ?? '', host, port), {
      cause: error,
    })
  }
  const address = app.server.address()
  const actual = typeof address === 'object' && address !== null ? address.port : port
  return `http://${reachableHost(host)}:${actual}`
}

function refusal(code: string, host: string, port: number): string {
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} on ${host} is in use. Stop what uses it, or set TRIBUTARY_PORT to another one (TRIBUTARY_PORT=${port + 1} npm start).`
    case 'EACCES':
      return `Port ${port} may not be used by this user. Set TRIBUTARY_PORT to one from 1024 on.`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine. Set TRIBUTARY_HOST to one, or to 0.0.0.0 for all.`
    default:
      return `Cannot listen on ${host}:${port} (${code || 'unknown reason'}).`
  }
}

/** An address to connect to, for one that is listened on; ready to stand in a URL. */
export function reachableHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

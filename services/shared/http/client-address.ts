import type { IncomingMessage } from 'node:http'
import ipaddr from 'ipaddr.js'
import proxyAddr from 'proxy-addr'

/** Of a header that says by which hops a request came. A longer one is not looked at. */
const FORWARDED_CHARACTERS_MAX = 2_048

/** Names for the networks that proxies stand in. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  loopback: ['loopback'],
  linklocal: ['linklocal'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

export type ClientAddress = (request: IncomingMessage) => string | undefined

/**
 * Where requests come from, when the hops of `trusted` (addresses, networks such as `10.0.0.0/8`, `loopback`,
 * `linklocal`, `private`) are believed: the last hop that is not one of them. Undefined when that is not an address.
 * Throws TypeError for what is no address, network or name.
 */
export function clientAddressBehind(trusted: readonly string[]): ClientAddress {
  const trust = proxyAddr.compile(trusted.flatMap((name) => NAMES[name] ?? [name]))
  return (request) => {
    const forwarded = request.headers['x-forwarded-for'] ?? ''
    const isBelieved = trusted.length > 0 && forwarded.length <= FORWARDED_CHARACTERS_MAX
    return addressIn(isBelieved ? proxyAddr(request, trust) : request.socket.remoteAddress)
  }
}

/** In its shortest form, an IPv4 address in its own; some proxies write a port behind it. */
function addressIn(hop: string | undefined): string | undefined {
  if (hop === undefined) return undefined
  const bare = /^\[(.+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop
  const zoneless = bare.split('%')[0] ?? ''
  return ipaddr.isValid(zoneless) ? ipaddr.process(zoneless).toString() : undefined
}

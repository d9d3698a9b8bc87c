/** The address that a recording link leads to; undefined when it is not an HTTP URL of a host on the list. */
export function allowedRedirect(target: string, hosts: readonly string[]): string | undefined {
  if (!URL.canParse(target)) return undefined
  const { protocol, hostname, username, password, href } = new URL(target)
  if (protocol !== 'http:' && protocol !== 'https:') return undefined
  if (username !== '' || password !== '') return undefined
  return hosts.some((host) => matches(hostname, host.toLowerCase())) ? href : undefined
}

const matches = (hostname: string, host: string): boolean =>
  host === '*' || hostname === host || (host.startsWith('*.') && hostname.endsWith(host.slice(1)))

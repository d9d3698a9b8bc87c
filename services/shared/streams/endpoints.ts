import { wrong } from './body-part.ts'

/** An entry of the operator's list: a host, or all under it. */
export interface ListedHost {
  /** As a URL has it: lower case, an IPv6 address in brackets, no dot at the end. */
  readonly host: string
  /** `*.host`: all under it, but not itself. */
  readonly isAllUnder: boolean
  /** '' is that of the scheme. */
  readonly port: string
}

const ENTRY = /^(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?)(?::([1-9]\d{0,4}))?$/
const REGION = '[a-z]{2}(?:-[a-z]+)+-\\d'
/** S3 and nothing else: within a network of Amazon's, other names of theirs lead to an operator's own machines. */
const AMAZONS = new RegExp(`^s3(?:-fips|-accelerate)?(?:\\.dualstack)?(?:\\.${REGION})?\\.amazonaws\\.com(?:\\.cn)?$`)
const GOOGLES = /^storage(?:\.[a-z]+-[a-z]+\d+\.rep)?\.googleapis\.com$/

const hostOf = (url: URL): string => url.hostname.replace(/\.$/, '')

/** `host`, `host:port`, `*.host`, `*.host:port`, separated by commas. Undefined when an entry is none of these. */
export function parseListedHosts(text: string): readonly ListedHost[] | undefined {
  const entries = text.split(',').map((entry) => entry.trim().toLowerCase())
  const hosts = entries.filter((entry) => entry !== '').map(parseEntry)
  return hosts.every((host) => host !== undefined) ? hosts : undefined
}

function parseEntry(entry: string): ListedHost | undefined {
  const [, star, host = '', port = ''] = ENTRY.exec(entry) ?? []
  if (host === '' || Number(port) > 65_535 || !URL.canParse(`http://${host}`)) return undefined
  return { host: hostOf(new URL(`http://${host}`)), isAllUnder: star !== undefined, port }
}

/** Whether it is Amazon's or Google's own, which need no leave of the operator's and are spoken to over TLS alone. */
export const isOwnHost = (host: string): boolean => AMAZONS.test(host) || GOOGLES.test(host)

/**
 * Checks an endpoint as a caller wrote it and gives its origin, `scheme://host[:port]`: what is checked here is what is
 * spoken to later. `bucket` is given where its name becomes part of the host. Throws InvalidRequestFieldError, naming `field`.
 */
export function checkEndpoint(
  text: string,
  field: string,
  listed: readonly ListedHost[],
  bucket: string | undefined,
): string {
  const url = /[\s@\\]/.test(text) || !URL.canParse(text) ? undefined : new URL(text)
  const isPlain = url !== undefined && /^https?:$/.test(url.protocol) && url.pathname === '/' && !/[?#]/.test(text)
  if (!isPlain) throw wrong(field, 'must be http:// or https:// with a host and perhaps a port, and nothing else')
  const host = hostOf(url)
  const origin = `${url.protocol}//${host}${url.port === '' ? '' : `:${url.port}`}`
  if (isOwnHost(host)) {
    if (url.protocol === 'https:' && url.port === '') return origin
    throw wrong(field, 'must be https:// without a port, as it is Amazon’s or Google’s')
  }
  if (listed.length === 0) {
    throw wrong(
      field,
      'must be left out: this deployment lets streams write to Amazon’s and Google’s own hosts only (TRIBUTARY_STREAM_ENDPOINTS is not set)',
    )
  }
  const contacted = bucket === undefined ? host : `${bucket}.${host}`
  const port = url.port === '' ? schemePort(url.protocol) : url.port
  const isListed = listed.some(
    (one) =>
      (one.isAllUnder ? contacted.endsWith(`.${one.host}`) : contacted === one.host) &&
      (one.port === '' ? url.port === '' : one.port === port),
  )
  if (isListed) return origin
  throw wrong(
    field,
    bucket === undefined
      ? 'is not among the hosts that this deployment lets streams write to (TRIBUTARY_STREAM_ENDPOINTS)'
      : 'would be spoken to under the bucket’s name, which this deployment does not let streams do (TRIBUTARY_STREAM_ENDPOINTS); try path_style: true',
  )
}

const schemePort = (protocol: string): string => (protocol === 'https:' ? '443' : '80')

import type { AddonResult } from './addon.ts'
import { REFERRER_SITES, type ReferrerSite } from './referrer-hosts.ts'
import { urlOf } from './url.ts'

const SITES: ReadonlyMap<string, ReferrerSite> = new Map(
  REFERRER_SITES.flatMap((site) => site.hosts.map((host) => [host, site] as const)),
)
/** A country's ending: `com`, `de`, `co.uk`, `com.au`. */
const COUNTRY = /\.(?:com|(?:com?\.)?[a-z]{2})$/
const LABELS_MAX = 10

/**
 * Where a visitor came from: medium `search`, `social`, `email`, `internal` (the page's own host) or `unknown`; the
 * source's name and the words that were searched for, null when there are none.
 */
export function parseReferrer(referrerText: string, pageText: string): AddonResult {
  const referrer = urlOf(referrerText)
  const page = urlOf(pageText)
  if (referrer === undefined || page === undefined) return 'input_invalid'
  const host = bare(referrer.hostname)
  if (host === bare(page.hostname)) return { medium: 'internal', source: null, term: null }
  const site = siteOf(host)
  if (site === undefined) return { medium: 'unknown', source: null, term: null }
  const term = site.terms
    ?.map((name) => referrer.searchParams.get(name))
    .find((value) => value !== null && value !== '')
  return { medium: site.medium, source: site.source, term: term ?? null }
}

const bare = (host: string): string => host.replace(/^www\./, '')

/** The most of the host's labels that are known, from the whole host down to its last two. */
function siteOf(host: string): ReferrerSite | undefined {
  const labels = host.split('.').slice(-LABELS_MAX)
  for (let from = 0; from < labels.length - 1; from += 1) {
    const name = labels.slice(from).join('.')
    const site = SITES.get(name) ?? SITES.get(name.replace(COUNTRY, '.*'))
    if (site !== undefined) return site
  }
  return undefined
}

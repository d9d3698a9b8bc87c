import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'
import { type CityResponse, Reader } from 'mmdb-lib'
import { parse as parseYaml } from 'yaml'
import { AppError } from '../shared/errors.ts'
import type { AddonResult, EnrichmentSources } from './domain/enrichment/addon.ts'
import { type GeoRecord, placeOf } from './domain/enrichment/geo.ts'
import { createUserAgentParser, type UserAgentRules } from './domain/enrichment/user-agent.ts'

const GEO_PACKAGE = '@ip-location-db/geo-whois-asn-country-mmdb'
const PLACES_MAX = 10_000
const AGENTS_MAX = 5_000
/** Longer texts are read, and not remembered. */
const CACHED_CHARACTERS_MAX = 1_024
/** No address is written longer. */
const ADDRESS_CHARACTERS_MAX = 64

const require = createRequire(import.meta.url)
const folderOf = (name: string): string => dirname(require.resolve(`${name}/package.json`))

/**
 * Reads what enrichments look things up in. `geoDatabase` is the file of a city or country database in MaxMind's format;
 * undefined: the country database that comes along. Throws CONFIG_INVALID when it cannot be read. The rules of user
 * agents are read when the first one is asked for.
 */
export async function openEnrichmentSources(geoDatabase: string | undefined): Promise<EnrichmentSources> {
  return { geo: await openGeo(geoDatabase), userAgent: lazyUserAgents() }
}

async function openGeo(file: string | undefined): Promise<EnrichmentSources['geo']> {
  let reader: Reader<CityResponse>
  try {
    reader = new Reader(await readFile(file ?? join(folderOf(GEO_PACKAGE), 'geo-whois-asn-country.mmdb')))
  } catch (cause) {
    throw new AppError('CONFIG_INVALID', 'TRIBUTARY_GEO_DATABASE must be a file in MaxMind DB format', { cause })
  }
  const countries = new Intl.DisplayNames('en', { type: 'region', fallback: 'none' })
  const known = new LRUCache<string, { readonly place: AddonResult }>({ max: PLACES_MAX })
  const look = (address: string): AddonResult => {
    const record = reader.get(address) as GeoRecord | null
    return (record !== null && placeOf(record, (code) => countries.of(code))) || 'not_found'
  }
  return (text) => {
    if (text.length > ADDRESS_CHARACTERS_MAX || !ipaddr.isValid(text)) return 'input_invalid'
    const address = ipaddr.process(text)
    // An address of a private network is the place of nothing.
    if (address.range() !== 'unicast') return 'not_found'
    const name = address.toString()
    const found = known.get(name)
    if (found !== undefined) return found.place
    const place = look(name)
    known.set(name, { place })
    return place
  }
}

function lazyUserAgents(): EnrichmentSources['userAgent'] {
  let parse: ReturnType<typeof createUserAgentParser> | undefined
  const known = new LRUCache<string, Exclude<AddonResult, string>>({ max: AGENTS_MAX })
  return (text) => {
    parse ??= createUserAgentParser(readUserAgentRules())
    const found = known.get(text)
    if (found !== undefined) return found
    const agent = parse(text)
    if (text.length <= CACHED_CHARACTERS_MAX) known.set(text, agent)
    return agent
  }
}

const readUserAgentRules = (): UserAgentRules =>
  parseYaml(readFileSync(join(folderOf('uap-core'), 'regexes.yaml'), 'utf8')) as UserAgentRules

import type { JsonObject } from '../json-object.ts'

/** One entry of the lists of `uap-core`. What is not replaced comes from the expression's groups, in their order. */
export type UserAgentRule = Readonly<Record<string, string>>

export interface UserAgentRules {
  readonly user_agent_parsers: readonly UserAgentRule[]
  readonly os_parsers: readonly UserAgentRule[]
  readonly device_parsers: readonly UserAgentRule[]
}

/** Expressions backtrack: what a text of this length costs is bounded, and real user agents are shorter. */
const CHARACTERS_MAX = 1_024
const OTHER = 'Other'

/** Reads user agents: `device` (family, type), `browser` and `os` (family and versions). */
export function createUserAgentParser(rules: UserAgentRules): (text: string) => Readonly<JsonObject> {
  const browsers = rules.user_agent_parsers.map((rule) =>
    matcher(rule, [rule['family_replacement'], rule['v1_replacement'], rule['v2_replacement']]),
  )
  const systems = rules.os_parsers.map((rule) =>
    matcher(rule, [
      rule['os_replacement'],
      rule['os_v1_replacement'],
      rule['os_v2_replacement'],
      rule['os_v3_replacement'],
    ]),
  )
  const devices = rules.device_parsers.map((rule) => matcher(rule, [rule['device_replacement']]))
  return (text) => {
    const read = text.slice(0, CHARACTERS_MAX)
    const browser = first(browsers, read)
    const os = first(systems, read)
    const family = first(devices, read)[0] ?? OTHER
    return {
      device: { family, type: deviceType(read, family, os[0] ?? OTHER) },
      browser: {
        family: browser[0] ?? OTHER,
        major: browser[1] ?? null,
        minor: browser[2] ?? null,
        patch: browser[3] ?? null,
      },
      os: {
        family: os[0] ?? OTHER,
        major: os[1] ?? null,
        minor: os[2] ?? null,
        patch: os[3] ?? null,
        patch_minor: os[4] ?? null,
      },
    }
  }
}

type Parts = readonly (string | null)[]
type Matcher = (text: string) => Parts | undefined
const PARTS = 5
const NOTHING: Parts = []

function matcher(rule: UserAgentRule, replacements: readonly (string | undefined)[]): Matcher {
  const expression = new RegExp(rule['regex'] ?? '(?!)', rule['regex_flag'] ?? '')
  return (text) => {
    const match = expression.exec(text)
    if (match === null) return undefined
    return Array.from({ length: PARTS }, (_, i) => {
      const replacement = replacements[i]
      const part = replacement === undefined ? match[i + 1] : filled(replacement, match)
      const trimmed = part?.trim() ?? ''
      return trimmed === '' ? null : trimmed
    })
  }
}

const filled = (replacement: string, match: RegExpExecArray): string =>
  replacement.replaceAll(/\$([1-9])/g, (_, group: string) => match[Number(group)] ?? '')

function first(matchers: readonly Matcher[], text: string): Parts {
  for (const matches of matchers) {
    const parts = matches(text)
    if (parts !== undefined) return parts
  }
  return NOTHING
}

const TABLET = /\biPad\b|\bTablet\b|\bKindle\b|\bSilk\b|\bPlayBook\b/i
const TELEVISION =
  /\bSMART-TV\b|\bSmartTV\b|\bAppleTV\b|\bGoogleTV\b|\bHbbTV\b|\bBRAVIA\b|\bRoku\b|\bAFT[A-Z]\b|\bCrKey\b/i
const PHONE = /\biPhone\b|\biPod\b|\bWindows Phone\b|\bBlackBerry\b|\bMobile\b|\bMobi\b/i
const DESKTOP_SYSTEMS = new Set([
  'Windows',
  'Mac OS X',
  'Mac OS',
  'Linux',
  'Ubuntu',
  'Debian',
  'Fedora',
  'Red Hat',
  'SUSE',
  'Arch Linux',
  'Chrome OS',
  'FreeBSD',
  'OpenBSD',
  'NetBSD',
  'Solaris',
])

/** The first that fits: a robot, a television, a tablet (Android without the word Mobile is one), a phone, a desktop. */
function deviceType(text: string, family: string, os: string): string {
  if (family === 'Spider') return 'bot'
  if (TELEVISION.test(text)) return 'television'
  if (TABLET.test(text)) return 'tablet'
  if (PHONE.test(text)) return 'mobile phone'
  if (os === 'Android') return 'tablet'
  return DESKTOP_SYSTEMS.has(os) ? 'desktop' : 'other'
}

import type { TSchema } from 'typebox'
import { SETTINGS_GROUPS } from './settings.ts'

interface Described {
  readonly name: string
  readonly fallback: string
  readonly description: string
}

const described = (name: string, schema: TSchema): Described => {
  const { default: fallback, description } = schema as unknown as {
    default?: string | number | boolean
    description: string
  }
  return { name, fallback: fallback === undefined ? '' : String(fallback), description }
}

/** The settings as the README shows them: one Markdown table a group. */
export function settingsAsMarkdown(): string {
  return SETTINGS_GROUPS.map(({ title, settings }) => {
    const rows = Object.entries(settings).map(([name, schema]) => {
      const { fallback, description } = described(name, schema)
      return `| \`${name}\` | ${fallback === '' ? '' : `\`${fallback}\``} | ${description} |`
    })
    return [`### ${title}`, '', '| Setting | Default | |', '| --- | --- | --- |', ...rows].join('\n')
  }).join('\n\n')
}

/** The settings for a terminal, `width` characters wide. */
export function settingsAsHelp(width: number): string {
  const lines = ['Settings (environment variables):']
  for (const { title, settings } of SETTINGS_GROUPS) {
    lines.push('', `  ${title}`)
    for (const [name, schema] of Object.entries(settings)) {
      const { fallback, description } = described(name, schema)
      lines.push(`    ${name}${fallback === '' ? '' : ` (${fallback})`}`)
      lines.push(...wrap(description.replaceAll('`', ''), width - 8).map((line) => `        ${line}`))
    }
  }
  return lines.join('\n')
}

function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

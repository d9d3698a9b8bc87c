import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^'"\n]*?(?:from\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g

/** What a pure file may take from Node: values in, values out. */
const PURE_NODE = new Set(['node:buffer', 'node:crypto', 'node:url', 'node:util'])
const isPure = (file: string): boolean => /\/(domain|language|filters)\//.test(file)

/** Says why an import is against the house's rules; undefined when it is not. Paths are relative to the root. */
function forbidden(file: string, target: string): string | undefined {
  if (target.startsWith('node:')) {
    return isPure(file) && !PURE_NODE.has(target)
      ? 'domain, language and filters are pure: no I/O, no clock'
      : undefined
  }
  const [area, service] = file.split('/')
  const [toArea, toService] = target.split('/')
  if (area === 'schemas') return toArea === 'services' ? 'schemas import nothing of ours' : undefined
  if (area !== 'services' || toArea !== 'services' || file === 'services/main.ts') return undefined
  if (service === 'commands') return undefined // main.ts's own parts: the wiring of each command
  if (toService === 'main.ts' || toService === 'commands') return 'nothing imports the wiring'
  if (service === 'shared' && toService !== 'shared') return 'shared knows no service'
  if (toService !== 'shared' && toService !== service) return 'services meet in the log and over HTTP, not in imports'
  if (isPure(file) && !isPure(target) && !/\/(errors|event|model|grant|port|types)\.ts$/.test(target)) {
    return 'pure code imports pure code, errors and types'
  }
  return undefined
}

function* imports(): Generator<{ file: string; target: string }> {
  for (const area of ['services', 'schemas']) {
    for (const entry of readdirSync(join(ROOT, area), { recursive: true, encoding: 'utf8' })) {
      if (!entry.endsWith('.ts')) continue
      const file = join(area, entry)
      for (const match of readFileSync(join(ROOT, file), 'utf8').matchAll(IMPORT)) {
        const name = match[1] ?? match[2] ?? ''
        if (name.startsWith('.')) yield { file, target: normalize(join(dirname(file), name)) }
        else if (name.startsWith('node:')) yield { file, target: name }
      }
    }
  }
}

test('every import follows the arrows of the house', () => {
  const all = [...imports()]
  expect(all.length).toBeGreaterThan(0)
  const broken = all.flatMap(({ file, target }) => {
    const why = forbidden(relative('.', file), target)
    return why === undefined ? [] : [`${file} -> ${target}: ${why}`]
  })
  expect(broken).toEqual([])
})

test('the rule sees each kind of wrong import', () => {
  expect(forbidden('services/ingest/app.ts', 'services/query/app.ts')).toBeDefined()
  expect(forbidden('services/shared/errors.ts', 'services/query/app.ts')).toBeDefined()
  expect(forbidden('services/query/language/parse.ts', 'node:fs')).toBeDefined()
  expect(forbidden('schemas/events.ts', 'services/shared/errors.ts')).toBeDefined()
  expect(forbidden('services/query/app.ts', 'services/main.ts')).toBeDefined()
  expect(forbidden('services/ingest/app.ts', 'services/shared/errors.ts')).toBeUndefined()
})

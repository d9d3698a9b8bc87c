import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { settingsAsMarkdown } from '../../services/shared/config/document.ts'
import { SETTINGS_GROUPS } from '../../services/shared/config/settings.ts'

const ROOT = join(import.meta.dirname, '../..')
const COMMANDS = [
  'all',
  'ingest',
  'loader',
  'query',
  'admin',
  'migrate',
  'topics',
  'doctor',
  'audit',
  'replay',
  'import',
  'demo',
]

async function tributary(args: readonly string[], env: Record<string, string> = {}) {
  try {
    const options = { cwd: ROOT, env: { PATH: process.env['PATH'] ?? '', ...env } }
    return { code: 0, ...(await promisify(execFile)(process.execPath, ['bin/tributary.mjs', ...args], options)) }
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string }
  }
}

test('--help lists every command and every setting, and each command has a help with an example', async () => {
  const { stdout } = await tributary(['--help'])
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
  for (const { settings } of SETTINGS_GROUPS) {
    for (const name of Object.keys(settings)) expect(stdout).toContain(name)
  }
  const helps = await Promise.all(COMMANDS.map((command) => tributary([command, '--help'])))
  for (const { code, stdout } of helps) {
    expect(code).toBe(0)
    expect(stdout).toMatch(/Examples?:\n {2}\$ /)
  }
})

test('--version is that of the package', async () => {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  expect((await tributary(['--version'])).stdout).toBe(`${version}\n`)
})

test('an unknown command, a missing argument and a wrong one are refused with a sentence', async () => {
  expect((await tributary(['alll'])).stderr).toContain('Did you mean all?')
  const missing = await tributary(['import', 'x'])
  expect(missing).toMatchObject({ code: 1 })
  expect(missing.stderr).toContain('--project')
  const wrong = await tributary(['demo', '--rows', 'many'])
  expect(wrong.stderr).toContain('whole number from 1')
})

test('wrong settings stop a start before anything is opened, all named at once', async () => {
  const { code, stderr } = await tributary(['all'], { TRIBUTARY_PORT: 'x', TRIBUTARY_PROT: '1' })
  expect(code).toBe(1)
  expect(stderr).toContain('TRIBUTARY_PORT must be')
  expect(stderr).toContain('TRIBUTARY_PROT is not a setting; did you mean TRIBUTARY_PORT?')
  expect(stderr).not.toContain('    at ')
})

test('without a server the demo says how to start one', async () => {
  const { code, stderr } = await tributary(['demo', '--url', 'http://127.0.0.1:9'])
  expect(code).toBe(1)
  expect(stderr).toContain('Start it in another terminal with `npm start`')
})

test('the README documents every setting as the table says', async () => {
  // The formatter pads the table's cells.
  const flat = (text: string): string => text.replaceAll(/ +/g, ' ').replaceAll(/-{3,}/g, '---')
  const readme = flat(await readFile(join(ROOT, 'README.md'), 'utf8'))
  for (const line of settingsAsMarkdown().split('\n')) expect(readme).toContain(flat(line))
})

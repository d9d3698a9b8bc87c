import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ask, createProject, DEPLOYMENT, deploymentEnv, type ProjectKeys } from '../support/api.ts'
import { eventually, type ServiceProcess, startService } from '../support/processes.ts'

const MAIN = join(import.meta.dirname, '../../services/main.ts')
const LINES = 20_000

let folder = ''
let server: ServiceProcess
let project: ProjectKeys

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'import-into-'))
  const env = { ...deploymentEnv(DEPLOYMENT), TRIBUTARY_DATA_DIR: join(folder, 'data'), TRIBUTARY_LOG_LEVEL: 'warn' }
  server = await startService('all', { env })
  project = await createProject(server.url, DEPLOYMENT, 'import')
})
afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

function startImport(file: string): ChildProcess {
  const target = ['--url', server.url, '--project', project.id, '--collection', 'imported']
  return spawn(process.execPath, [MAIN, 'import', file, ...target, '--batch', '100'], {
    env: { ...process.env, TRIBUTARY_KEY: project.write },
    stdio: 'ignore',
  })
}

/** The last line that an import's state file answers for. */
const reached = async (file: string): Promise<number> =>
  (JSON.parse(await readFile(`${file}.import.json`, 'utf8')) as { line: number }).line

test('an import that is killed twice and run again stores every line once in the real pipeline', async () => {
  const file = join(folder, 'events.jsonl')
  const line = (n: number): string => JSON.stringify({ n, keen: { timestamp: '2024-05-06T07:08:09.000Z' } })
  await writeFile(file, Array.from({ length: LINES }, (_, n) => `${line(n)}\n`).join(''))
  let kills = 0
  for (const goal of [2_000, 9_000]) {
    const child = startImport(file)
    const gone = once(child, 'exit')
    await eventually('the import gets somewhere', async () => (await reached(file)) >= goal)
    child.kill('SIGKILL')
    const [, signal] = (await gone) as [number | null, string | null]
    if (signal === 'SIGKILL') kills += 1
  }
  expect(kills).toBe(2)
  expect(await reached(file)).toBeLessThan(LINES)
  const [code] = (await once(startImport(file), 'exit')) as [number | null]
  expect(code).toBe(0)
  const timeframe = { start: '2024-05-06T00:00:00Z', end: '2024-05-07T00:00:00Z' }
  const query = { event_collection: 'imported', timeframe }
  const count = (): Promise<unknown> => ask(server.url, project.id, project.read, 'count', query)
  await eventually('all lines are counted', async () => Number(await count()) >= LINES)
  expect(await count()).toBe(LINES)
  const unique = { ...query, target_property: 'n' }
  expect(await ask(server.url, project.id, project.read, 'count_unique', unique)).toBe(LINES)
})

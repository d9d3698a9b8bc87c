import { setTimeout as sleep } from 'node:timers/promises'
import Table from 'cli-table3'
import { Command, Option } from 'commander'
import { loadConfig } from '../shared/config.ts'
import { organizationFile, readOrganization } from '../shared/config/organization.ts'
import { AppError, hasCode } from '../shared/errors.ts'
import { callApi } from './api.ts'
import { countFlights, flightEvent, flightsFile, readFlights } from './demo/flights.ts'
import { AIRPORT, AIRPORT_FILTERS, curlLine, QUESTIONS, WHOLE_TIMEFRAME } from './demo/questions.ts'
import { gather } from './import/batches.ts'
import { runImport } from './import/run-import.ts'
import { positiveInteger, serverUrl } from './options.ts'
import { format, startProgress } from './progress.ts'
import { reachableHost } from './serve/listen.ts'

const DEFAULT_ROWS = 300_000
const BATCH_LINES = 1_000
const BATCH_BYTES = 4 * 1_048_576
const QUERYABLE_WITHIN_MS = 120_000

interface DemoOptions {
  readonly url?: string
  readonly all: boolean
  readonly rows: number
}
interface DemoProject {
  readonly id: string
  readonly keys: { readonly master: string; readonly write: string; readonly read: string }
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('import real flights into the running server and ask five questions about them')
    .addOption(
      new Option('--url <url>', 'of the server (default: by TRIBUTARY_HOST and TRIBUTARY_PORT)').argParser(serverUrl),
    )
    .option('--all', 'import all three million flights', false)
    .option('--rows <count>', 'how many flights, spread over the half-year', positiveInteger(3_000_000), DEFAULT_ROWS)
    .addHelpText(
      'after',
      `
It makes a new project each time, with the organization's key from the settings or the data folder.

Examples:
  $ npm run demo
  $ npm run demo -- --all`,
    )
    .action(runDemo)
}

async function runDemo(options: DemoOptions): Promise<void> {
  const config = loadConfig(process.env, process.cwd())
  const { id, key } = config.organization
  const organization = id !== undefined && key !== undefined ? { id, key } : await readOrganization(config.dataDir)
  const { port } = config.server
  const host = reachableHost(config.server.host)
  const url = options.url ?? `http://${host}:${port}`
  await requireServer(url)
  if (organization === undefined) {
    throw new AppError(
      'CONFIG_INVALID',
      `The organization's key is neither in the settings nor in ${organizationFile(config.dataDir)}. ` +
        'Run this where the server runs (same folder), or set TRIBUTARY_ORGANIZATION_ID, TRIBUTARY_ORGANIZATION_KEY and TRIBUTARY_SECRET.',
    )
  }

  const project = await makeProject(url, organization)
  say(`Project ${project.id} is made. Its keys:`)
  say(`  write  ${project.keys.write}\n  read   ${project.keys.read}\n  master ${project.keys.master}\n`)
  const stored = await importFlights(url, project, options)
  await untilQueryable(url, project, stored)
  const access = await makeAccessKey(url, project)
  say(`Access key, narrowed to flights from ${AIRPORT}: ${access}\n`)
  for (const [index, question] of QUESTIONS.entries()) {
    const asking = question.key === 'read' ? project.keys.read : access
    const startedAt = performance.now()
    const answer = (await callApi({
      url,
      path: `/3.0/projects/${project.id}/queries/${question.analysis}`,
      key: asking,
      body: question.body,
    })) as { result: unknown }
    const elapsedMs = Math.round(performance.now() - startedAt)
    const table = new Table({ head: [...question.columns], style: { head: [], border: [], compact: true } })
    for (const row of question.rows(answer.result)) table.push([...row])
    say(`${index + 1}. ${question.title} (${elapsedMs} ms)\n${table.toString()}`)
    say(`${curlLine(url, project.id, asking, question)}\n`)
  }
}

const say = (text: string): void => void process.stdout.write(`${text}\n`)

async function requireServer(url: string): Promise<void> {
  const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined)
  if (answer?.ok === true) return
  throw new AppError(
    'ServiceUnavailableError',
    `No Tributary answers at ${url}. Start it in another terminal with \`npm start\` (or name it with --url), then run this again.`,
  )
}

async function makeProject(url: string, organization: { id: string; key: string }): Promise<DemoProject> {
  try {
    const project = (await callApi({
      url,
      path: `/3.0/organizations/${organization.id}/projects`,
      key: organization.key,
      body: { name: 'Flights (demo)', users: [{ email: 'demo@example.com' }] },
    })) as { id: string; api_keys: DemoProject['keys'] }
    return { id: project.id, keys: project.api_keys }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    throw new AppError(error.code, `The project cannot be made: ${error.message}. Is this the server's data folder?`, {
      cause: error,
    })
  }
}

async function importFlights(url: string, project: DemoProject, options: DemoOptions): Promise<number> {
  const path = flightsFile()
  const there = await countFlights(path)
  const wanted = options.all ? there : Math.min(options.rows, there)
  const step = Math.max(1, Math.floor(there / wanted))
  say(`Importing ${format(wanted)} of ${format(there)} flights of 2001${step > 1 ? `, every ${step}th` : ''}.`)
  const progress = startProgress(wanted)
  const startedAt = performance.now()
  const done = await runImport({
    batches: gather(flights(path, step, wanted), { linesMax: BATCH_LINES, bytesMax: BATCH_BYTES }),
    runId: crypto.randomUUID(),
    concurrency: 4,
    from: { line: 0, stored: 0, refused: 0 },
    send: {
      target: { url, projectId: project.id, key: project.keys.write, collection: 'flights' },
      signal: new AbortController().signal,
      patienceMs: 60_000,
      requestTimeoutMs: 60_000,
      onRetry: (reason) => progress.note(`The server is busy (${reason}); trying again.`),
    },
    onProgress: (now) => {
      progress.update(now.line, now.stored)
      return Promise.resolve()
    },
  })
  progress.stop()
  const seconds = (performance.now() - startedAt) / 1_000
  say(
    `${format(done.stored)} events in ${seconds.toFixed(1)} s: ${format(Math.round(done.stored / seconds))} events/s.`,
  )
  if (done.refused > 0) throw new AppError('InvalidEventError', `The server refused ${format(done.refused)} flights.`)
  return done.stored
}

async function* flights(path: string, step: number, max: number) {
  for await (const { number, flight } of readFlights(path, { step, max })) {
    yield { number, prepared: flightEvent(flight) }
  }
}

async function untilQueryable(url: string, project: DemoProject, stored: number): Promise<void> {
  const startedAt = performance.now()
  let seen = 0
  while (performance.now() - startedAt < QUERYABLE_WITHIN_MS) {
    try {
      const answer = (await callApi({
        url,
        path: `/3.0/projects/${project.id}/queries/count`,
        key: project.keys.read,
        body: { event_collection: 'flights', timeframe: WHOLE_TIMEFRAME },
      })) as { result: number }
      seen = answer.result
    } catch (error) {
      if (!hasCode(error, 'ResourceNotFoundError')) throw error // none of them has arrived yet
    }
    if (seen >= stored) {
      say(`All ${format(seen)} can be queried, ${((performance.now() - startedAt) / 1_000).toFixed(1)} s later.\n`)
      return
    }
    await sleep(200)
  }
  throw new AppError(
    'WAREHOUSE_UNAVAILABLE',
    `Only ${format(seen)} of ${format(stored)} events can be queried after two minutes. Is a loader running? See the server's log.`,
  )
}

async function makeAccessKey(url: string, project: DemoProject): Promise<string> {
  const made = (await callApi({
    url,
    path: `/3.0/projects/${project.id}/keys`,
    key: project.keys.master,
    body: {
      name: `${AIRPORT} only`,
      is_active: true,
      permitted: ['queries'],
      options: { queries: { filters: AIRPORT_FILTERS } },
    },
  })) as { key: string }
  return made.key
}

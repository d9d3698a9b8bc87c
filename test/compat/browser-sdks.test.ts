/// <reference lib="dom" />
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Page } from 'puppeteer-core'
import { rolldown } from 'rolldown'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ask, call, createProject, DEPLOYMENT, deploymentEnv, type ProjectKeys } from '../support/api.ts'
import { serveSite, startBrowser, type TestBrowser } from '../support/browser.ts'
import { eventually, type ServiceProcess, startService } from '../support/processes.ts'

/** The published packages in a real browser, on a page of another origin than the service, as customers have them. */

const require = createRequire(import.meta.url)
const packageFile = (name: string, path: string): string => join(dirname(require.resolve(`${name}/package.json`)), path)

type Told<T> = (error: unknown, answer: T) => void

/** What the pages' scripts put there, as far as it is used here. */
interface PageGlobals {
  readonly KeenTracking: new (
    config: object,
  ) => {
    recordEvent(collection: string, event: object, callback?: Told<unknown>): unknown
    recordEvents(events: object, callback?: Told<unknown>): unknown
  }
  readonly KeenAnalysis: new (config: object) => { query(query: object): Promise<{ result: unknown[] }> }
  readonly KeenDataviz: new (options: object) => unknown
  readonly Keen: {
    new (
      config: object,
    ): {
      run(query: unknown, callback: Told<{ result: unknown }>): unknown
      addEvent(collection: string, event: object, callback: Told<unknown>): unknown
    }
    readonly Query: new (analysis: string, query: object) => unknown
  }
}
declare const window: PageGlobals

const PAGE = (scripts: readonly string[]): { text: string } => ({
  text: `<!doctype html><meta charset="utf-8"><title>t</title><link rel="stylesheet" href="/dataviz.css">
<div id="chart" style="width:600px;height:300px"></div><div id="metric"></div>
${scripts.map((script) => `<script src="/${script}"></script>`).join('\n')}`,
})

let service: ServiceProcess
let folder: string
let project: ProjectKeys
let chromium: TestBrowser
let site: Awaited<ReturnType<typeof serveSite>>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-compat-browser-'))
  service = await startService('all', { env: { ...deploymentEnv(DEPLOYMENT), TRIBUTARY_DATA_DIR: folder } })
  project = await createProject(service.url, DEPLOYMENT, 'browser')
  // keen-js 3 was published as modules only, to be bundled by whoever uses it.
  const bundle = await rolldown({
    input: packageFile('keen-js-3', 'src/keen-query.js'),
    platform: 'browser',
    logLevel: 'silent',
  })
  const tracker = await rolldown({
    input: packageFile('keen-js-3', 'src/keen-tracker.js'),
    platform: 'browser',
    logLevel: 'silent',
  })
  const text = async (from: typeof bundle): Promise<string> =>
    (await from.generate({ format: 'iife', name: 'keenBundle' })).output[0].code
  site = await serveSite({
    '/modern.html': PAGE(['tracking.js', 'analysis.js', 'dataviz.js']),
    '/old-query.html': PAGE(['old-query.js']),
    '/old-tracker.html': PAGE(['old-tracker.js']),
    '/tracking.js': { file: packageFile('keen-tracking', 'dist/keen-tracking.min.js') },
    '/analysis.js': { file: packageFile('keen-analysis', 'dist/keen-analysis.min.js') },
    '/dataviz.js': { file: packageFile('keen-dataviz', 'dist/keen-dataviz.min.js') },
    '/dataviz.css': { file: packageFile('keen-dataviz', 'dist/keen-dataviz.min.css') },
    '/old-query.js': { text: await text(bundle) },
    '/old-tracker.js': { text: await text(tracker) },
  })
  chromium = await startBrowser()
})
afterAll(async () => {
  await chromium.close()
  await site.close()
  await service.stop()
  await rm(folder, { recursive: true, force: true })
})

const config = () => ({
  projectId: project.id,
  writeKey: project.write,
  readKey: project.read,
  host: new URL(service.url).host,
  protocol: 'http',
})

const counted = async (collection: string, expected: number): Promise<void> => {
  await eventually(`${expected} of ${collection}`, async () => {
    const query = { event_collection: collection, timeframe: 'this_2_days' }
    return (await ask(service.url, project.id, project.read, 'count', query)) === expected
  })
}

/** Opens a page; what it complains about fails the test. */
async function open(path: string): Promise<{ page: Page; problems: string[] }> {
  const page = await chromium.browser.newPage()
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(String(error)))
  await page.goto(`${site.url}${path}`)
  return { page, problems }
}

describe('keen-tracking 5.0.1 in Chromium', () => {
  test('records by fetch (pre-flighted), by beacon and by image, one and many', async () => {
    const { page, problems } = await open('/modern.html')
    const outcome = await page.evaluate(async (config) => {
      const Tracking = window.KeenTracking
      const fetching = new Tracking({ ...config, requestType: 'fetch' })
      // The promise of the browser's build is the bare response; what the SDK made of it goes to the callback.
      const told = (send: (callback: (error: unknown, answer: unknown) => void) => void): Promise<unknown> =>
        new Promise((resolve, reject) => {
          send((error, answer) => (error ? reject(new Error(JSON.stringify(error))) : resolve(answer)))
        })
      const one = await told((callback) => fetching.recordEvent('from_page', { n: 1 }, callback))
      const many = await told((callback) => fetching.recordEvents({ from_page: [{ n: 2 }, { n: 3 }] }, callback))
      const image = new Tracking({ ...config, requestType: 'img' })
      await told((callback) => image.recordEvent('from_image', { n: 1, text: 'ö ✓' }, callback))
      new Tracking({ ...config, requestType: 'beaconAPI' }).recordEvent('from_beacon', { n: 1 })
      return { one, many }
    }, config())
    expect(outcome.one).toEqual({ created: true })
    expect(outcome.many).toEqual({ from_page: [{ success: true }, { success: true }] })
    await counted('from_page', 3)
    await counted('from_image', 1)
    await counted('from_beacon', 1)
    expect(problems).toEqual([])
    await page.close()
  })
})

describe('keen-analysis 3.7.0 and keen-dataviz 3.15.5 in Chromium', () => {
  beforeAll(async () => {
    const event = (day: number, plan: string, price: number) => ({
      plan,
      price,
      keen: { timestamp: `2026-01-0${day}T10:00:00.000Z` },
    })
    const events = [event(1, 'free', 1), event(2, 'pro', 20), event(2, 'pro', 30), event(3, 'team', 50)]
    const { status } = await call('POST', `${service.url}/3.0/projects/${project.id}/events`, {
      key: project.write,
      body: { sales: events },
    })
    expect(status).toBe(200)
    await eventually('all sales are there', async () => {
      const query = { event_collection: 'sales', timeframe: { start: '2026-01-01', end: '2026-02-01' } }
      return (await ask(service.url, project.id, project.read, 'count', query)) === 4
    })
  })

  test('a chart is drawn of an answer of the service', async () => {
    const { page, problems } = await open('/modern.html')
    const answer = await page.evaluate(async (config) => {
      const client = new window.KeenAnalysis(config)
      const result = await client.query({
        analysisType: 'sum',
        eventCollection: 'sales',
        targetProperty: 'price',
        groupBy: 'plan',
        interval: 'daily',
        timeframe: { start: '2026-01-01T00:00:00Z', end: '2026-01-04T00:00:00Z' },
      })
      const Dataviz = window.KeenDataviz
      const charts = [
        new Dataviz({ container: '#chart', type: 'bar', title: 'Sales', results: result }),
        new Dataviz({ container: '#metric', type: 'metric', results: { result: 101 } }),
      ]
      return { ...result, charts: charts.length }
    }, config())
    expect(answer.result).toHaveLength(3)
    await page.waitForSelector('#chart svg .c3-bar', { timeout: 20_000 })
    const drawn = await page.evaluate(() => ({
      bars: [...document.querySelectorAll('#chart svg .c3-bar')].filter((bar) => bar.getBoundingClientRect().height > 1)
        .length,
      legend: [...document.querySelectorAll('#chart .c3-legend-item, #chart .keen-c3-legend-item')].length,
      text: document.querySelector('#chart')?.textContent ?? '',
      metric: document.querySelector('#metric')?.textContent ?? '',
    }))
    // One bar for each day and plan that has sales: free on the 1st, pro on the 2nd, team on the 3rd.
    expect(drawn.bars).toBe(3)
    for (const plan of ['free', 'pro', 'team']) expect(drawn.text).toContain(plan)
    expect(drawn.metric).toContain('101')
    expect(problems).toEqual([])
    await page.close()
  })

  test('the error of a wrong key reaches the page with its code and message', async () => {
    const { page } = await open('/modern.html')
    const error = await page.evaluate(async (config) => {
      const client = new window.KeenAnalysis({ ...config, readKey: 'WRONG' })
      try {
        await client.query({ analysisType: 'count', eventCollection: 'sales', timeframe: 'this_1_days' })
        return undefined
      } catch (error) {
        const { error_code, body, status } = error as Record<string, unknown>
        return { error_code, body, status }
      }
    }, config())
    expect(error).toMatchObject({ error_code: 'InvalidApiKeyError', body: expect.any(String), status: 401 })
    await page.close()
  })
})

test('keen-js 6.0.1 has no code of its own, and its README names the packages of this suite', () => {
  const folder = dirname(require.resolve('keen-js-6/package.json'))
  expect(readdirSync(folder).filter((name) => name.endsWith('.js'))).toEqual([])
  const readme = readFileSync(join(folder, 'README.md'), 'utf8')
  for (const name of ['keen-tracking', 'keen-analysis', 'keen-dataviz']) expect(readme).toContain(name)
})

describe('keen-js 3.4.1 in Chromium, bundled', () => {
  const old = () => ({ ...config(), host: `${new URL(service.url).host}/3.0` })

  test('asks by JSONP, which is its default, and by XHR', async () => {
    const { page, problems } = await open('/old-query.html')
    for (const requestType of ['jsonp', 'xhr']) {
      const result = await page.evaluate(
        async (config) => {
          const Keen = window.Keen
          const client = new Keen(config)
          const query = new Keen.Query('count', {
            eventCollection: 'sales',
            timeframe: { start: '2026-01-01T00:00:00Z', end: '2026-02-01T00:00:00Z' },
            filters: [{ property_name: 'price', operator: 'gte', property_value: 20 }],
          })
          return new Promise((resolve, reject) => {
            client.run(query, (error: unknown, answer: { result: unknown }) =>
              error ? reject(new Error(JSON.stringify(error))) : resolve(answer.result),
            )
          })
        },
        { ...old(), requestType },
      )
      expect({ requestType, result }).toEqual({ requestType, result: 3 })
    }
    expect(problems).toEqual([])
    await page.close()
  })

  test('records by JSONP, by XHR and by beacon', async () => {
    const { page, problems } = await open('/old-tracker.html')
    for (const requestType of ['jsonp', 'xhr', 'beacon']) {
      await page.evaluate(
        async (config) => {
          const Keen = window.Keen
          const client = new Keen(config)
          await new Promise<void>((resolve, reject) => {
            client.addEvent('old_page', { via: config.requestType }, (error: unknown) =>
              error ? reject(new Error(JSON.stringify(error))) : resolve(),
            )
          })
        },
        { ...old(), requestType },
      )
    }
    await counted('old_page', 3)
    expect(problems).toEqual([])
    await page.close()
  })
})

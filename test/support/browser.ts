import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import chromium from '@sparticuz/chromium'
import { type Browser, launch } from 'puppeteer-core'

export interface TestBrowser {
  readonly browser: Browser
  close(): Promise<void>
}

/**
 * A real Chromium: `CHROMIUM_PATH`, or the one that an npm package brings. Its rules on who may call whom are in force, so
 * that a page sees what a customer's page would see.
 */
export async function startBrowser(): Promise<TestBrowser> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-browser-'))
  const before = process.env['TMPDIR']
  try {
    // Where the package unpacks itself.
    process.env['TMPDIR'] = folder
    const executablePath = process.env['CHROMIUM_PATH'] ?? (await chromium.executablePath())
    const browser = await launch({
      executablePath,
      headless: 'shell',
      userDataDir: join(folder, 'profile'),
      args: ['--no-sandbox', '--no-zygote', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
    })
    return {
      browser,
      async close() {
        await browser.close()
        await rm(folder, { recursive: true, force: true })
      },
    }
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
}

const TYPES: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
}

/** Serves a page and its files on an origin of its own: by path, text or a file's place on the disk. */
export async function serveSite(files: Readonly<Record<string, { text: string } | { file: string }>>) {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0] ?? '/'
    const found = files[path]
    if (found === undefined) return response.writeHead(404).end()
    const type = TYPES[path.split('.').at(-1) ?? ''] ?? TYPES['html']
    const send = (body: string | Buffer): unknown => response.writeHead(200, { 'content-type': type }).end(body)
    return 'text' in found ? send(found.text) : readFile(found.file).then(send, () => response.writeHead(500).end())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close(): Promise<void> {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { Command, Option } from 'commander'
import { AppError, hasCode } from '../shared/errors.ts'
import { gather, prepareLine } from './import/batches.ts'
import { openErrorsFile } from './import/errors-file.ts'
import { readLines } from './import/lines.ts'
import { type ImportProgress, runImport } from './import/run-import.ts'
import { openState, saveState } from './import/state-file.ts'
import { format, startProgress } from './progress.ts'
import { positiveInteger, serverUrl } from './options.ts'
import { stopOnSignal } from './stop-on-signal.ts'

const LINE_BYTES_MAX = 16 * 1_048_576
const REQUEST_TIMEOUT_MS = 120_000
/** Exit codes, said in the help: all stored, cannot go on, some lines refused, stopped and may be taken up again. */
const EXIT = { done: 0, failed: 1, refused: 2, stopped: 3 } as const

export interface ImportOptions {
  readonly url: string
  readonly project: string
  readonly key: string
  readonly collection: string
  readonly batch: number
  readonly batchBytes: number
  readonly concurrency: number
  readonly patience: number
  readonly timestampProperty?: string
  readonly resume?: string
  readonly errors?: string
  readonly restart: boolean
}

export function importCommand(): Command {
  return new Command('import')
    .description('send a file of JSON lines (or its gzip) into a collection, through the HTTP API')
    .argument('<file>', 'one JSON object a line, plain or gzip; - reads standard input')
    .addOption(
      new Option('--url <url>', 'of the server')
        .default('http://127.0.0.1:8080')
        .env('TRIBUTARY_URL')
        .argParser(serverUrl),
    )
    .addOption(new Option('--project <id>', 'id of the project').makeOptionMandatory())
    .addOption(
      new Option('--key <key>', 'a key that may write; better in the environment than on the command line')
        .env('TRIBUTARY_KEY')
        .makeOptionMandatory(),
    )
    .addOption(new Option('--collection <name>', 'collection to add the events to').makeOptionMandatory())
    .option('--batch <lines>', 'lines a request', positiveInteger(10_000), 1_000)
    .option('--batch-bytes <bytes>', 'bytes a request', positiveInteger(256 * 1_048_576), 4 * 1_048_576)
    .option('--concurrency <requests>', 'requests under way at a time', positiveInteger(64), 4)
    .option(
      '--patience <seconds>',
      'how long to go on trying while the server is away or busy',
      positiveInteger(86_400),
      300,
    )
    .option('--timestamp-property <name>', 'property to move to keen.timestamp (ISO 8601, or seconds or ms since 1970)')
    .option('--resume <path>', 'file that keeps how far the import is (default: FILE.import.json; for - only if given)')
    .option(
      '--errors <path>',
      'file for the lines that were refused (default: FILE.errors.jsonl, or import.errors.jsonl)',
    )
    .option('--restart', 'forget an earlier run of this import and send everything anew', false)
    .addHelpText(
      'after',
      `
The time of an event is its keen.timestamp; without one, the time of its arrival.
Events that were extracted before are taken as they are: their keen.id and keen.created_at are given anew.
Stopped or killed, the same command goes on where it was, and no event is stored twice.

Exit codes: 0 every line is stored; 2 done, but some lines were refused (see the errors file);
3 stopped before the end, run it again to go on; 1 it cannot work as asked.

Examples:
  $ tributary import events.jsonl.gz --project ID --key WRITE_KEY --collection purchases
  $ zcat old/*.gz | tributary import - --project ID --key WRITE_KEY --collection visits --timestamp-property at`,
    )
    .action(async (file: string, options: ImportOptions) => {
      process.exitCode = await importFile(file, options)
    })
}

/** Resolves with the exit code, having said on standard error how it went. */
export async function importFile(file: string, options: ImportOptions): Promise<number> {
  const isStdin = file === '-'
  const source = isStdin ? undefined : await stat(file).catch(() => undefined)
  if (!isStdin && source?.isFile() !== true) {
    throw new AppError('InvalidRequestError', `${file} is not a file that can be read.`)
  }
  const statePath = options.resume ?? (isStdin ? undefined : `${file}.import.json`)
  const errorsPath = options.errors ?? (isStdin ? 'import.errors.jsonl' : `${file}.errors.jsonl`)
  const same = {
    source: isStdin ? '-' : resolve(file),
    size: source?.size ?? 0,
    modified_ms: source?.mtimeMs ?? 0,
    url: options.url,
    project: options.project,
    collection: options.collection,
    batch: options.batch,
    batch_bytes: options.batchBytes,
    timestamp_property: options.timestampProperty ?? '',
  }
  const state =
    statePath === undefined
      ? { run_id: crypto.randomUUID(), same, line: 0, stored: 0, refused: 0, done: false }
      : await openState(statePath, same, options.restart)
  if (state.done) {
    process.stderr.write(
      `Already imported: ${format(state.stored)} events (${statePath}). --restart sends them anew.\n`,
    )
    return state.refused > 0 ? EXIT.refused : EXIT.done
  }
  if (state.line > 0) process.stderr.write(`Going on after line ${format(state.line)}.\n`)

  await using open = new AsyncDisposableStack()
  const errors = open.adopt(await openErrorsFile(errorsPath, state.line), (file) => file.close())
  const stop = open.adopt(stopOnSignal(EXIT.stopped), ({ release }) => release())
  const bytes = countBytes(isStdin ? process.stdin : createReadStream(file, { highWaterMark: 256 * 1_024 }))
  const progress = open.adopt(startProgress(source?.size ?? 0), (bar) => bar.stop())
  let last: ImportProgress = state
  const startedAt = performance.now()
  let outcome: Error | undefined
  try {
    await runImport({
      batches: gather(prepared(bytes.stream, options.timestampProperty), {
        linesMax: options.batch,
        bytesMax: options.batchBytes,
      }),
      runId: state.run_id,
      concurrency: options.concurrency,
      from: state,
      send: {
        target: { url: options.url, projectId: options.project, key: options.key, collection: options.collection },
        signal: stop.signal,
        patienceMs: options.patience * 1_000,
        requestTimeoutMs: REQUEST_TIMEOUT_MS,
        onRetry: (reason) => progress.note(`The server is away or busy (${reason}); trying again.`),
      },
      async onProgress(now, refused) {
        await errors.add(refused) // before the state, so that no refused line goes unnamed
        if (statePath !== undefined) await saveState(statePath, { ...state, ...now })
        last = now
        progress.update(bytes.count(), now.stored - state.stored)
      },
    })
    if (statePath !== undefined) await saveState(statePath, { ...state, ...last, done: true })
  } catch (error) {
    outcome = error instanceof Error ? error : new Error(String(error))
  }
  progress.stop()
  const seconds = (performance.now() - startedAt) / 1_000
  const rate = Math.round((last.stored - state.stored) / Math.max(0.001, seconds))
  process.stderr.write(
    `${format(last.stored)} events stored, ${format(last.refused)} lines refused, ${format(rate)} events/s.\n`,
  )
  if (last.refused > 0) process.stderr.write(`The refused lines are named in ${errorsPath}.\n`)
  if (outcome === undefined) return last.refused > 0 ? EXIT.refused : EXIT.done
  const again = statePath === undefined ? '' : ' The same command goes on from here.'
  if (stop.signal.aborted) {
    process.stderr.write(`Stopped after line ${format(last.line)}.${again}\n`)
    return EXIT.stopped
  }
  if (hasCode(outcome, 'ServiceUnavailableError')) {
    process.stderr.write(`${outcome.message} Stopped after line ${format(last.line)}.${again}\n`)
    return EXIT.stopped
  }
  throw outcome
}

async function* prepared(source: Readable, timestampProperty: string | undefined) {
  for await (const { number, text } of readLines(source, LINE_BYTES_MAX)) {
    yield { number, prepared: prepareLine(text, timestampProperty) }
  }
}

function countBytes(source: Readable): { stream: Readable; count: () => number } {
  let count = 0
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      count += chunk.length
      done(null, chunk)
    },
  })
  source.on('error', (error) => counter.destroy(error))
  return { stream: source.pipe(counter), count: () => count }
}

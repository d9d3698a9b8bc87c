import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'

const RESULTS = join(import.meta.dirname, 'results')

/** The middle value of several runs. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Nearest rank: the smallest value that at least the share `q` of all values does not pass. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN
}

/** Where and with what a figure was measured; a figure without it is not worth keeping. */
export function setup(): Readonly<Record<string, string | number>> {
  let commit = 'unknown'
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    // Not a checkout: the figure still says which machine and runtime.
  }
  return {
    commit,
    node: process.versions.node,
    cpu: `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
  }
}

/** Prints a benchmark's setup and figures, and appends them as one JSON line to `bench/results/<name>.jsonl`. */
export function report(name: string, figures: Readonly<Record<string, unknown>>): void {
  const line = { name, at: new Date().toISOString(), ...setup(), ...figures }
  mkdirSync(RESULTS, { recursive: true })
  appendFileSync(join(RESULTS, `${name}.jsonl`), `${JSON.stringify(line)}\n`)
  console.log(`\n${name}`)
  for (const [key, value] of Object.entries(line)) {
    if (key !== 'name') console.log(`  ${key.padEnd(28)} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
  }
}

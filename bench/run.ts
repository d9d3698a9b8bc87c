/** `npm run bench`: every benchmark, one after the other, or those named: `npm run bench -- ingest freshness`. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const BENCHMARKS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  ingest: [[], ['--kafka']],
  loader: [[], ['--http'], ['--kafka']],
  exporter: [[], ['--kafka'], ['--memory']],
  deliveries: [[], ['--s3']],
  query: [[]],
  'queries-20m': [[]],
  freshness: [[], ['--kafka']],
  'table-layout': [[]],
}

const named = process.argv.slice(2)
const unknown = named.filter((name) => !(name in BENCHMARKS))
if (unknown.length > 0) {
  console.error(`No benchmark ${unknown.join(', ')}; there are ${Object.keys(BENCHMARKS).join(', ')}.`)
  process.exit(2)
}
let failed = 0
for (const [name, variants] of Object.entries(BENCHMARKS)) {
  if (named.length > 0 && !named.includes(name)) continue
  for (const flags of variants) {
    const { status } = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...flags], {
      stdio: 'inherit',
    })
    if (status !== 0) {
      console.error(`bench/${name}.ts ${flags.join(' ')} ended with ${status}`)
      failed += 1
    }
  }
}
process.exit(failed === 0 ? 0 : 1)

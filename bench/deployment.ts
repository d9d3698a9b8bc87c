import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createProject, DEPLOYMENT, deploymentEnv, type ProjectKeys } from '../test/support/api.ts'
import { startClickHouse } from '../test/support/start-clickhouse.ts'
import { openDeployment } from '../test/support/deployment.ts'
import { startKafka } from '../test/support/kafka-server.ts'
import { type ServiceProcess, startService } from '../test/support/processes.ts'

/** A running deployment with one project, for the benchmarks that go through whole processes. */
export interface BenchDeployment extends AsyncDisposable {
  readonly ingestUrl: string
  readonly queryUrl: string
  readonly project: ProjectKeys
  /** Resident memory by process, in MiB. */
  residentMiB(): Promise<Readonly<Record<string, number>>>
}

async function residentMiB(services: readonly ServiceProcess[]): Promise<Readonly<Record<string, number>>> {
  const entries = services.map(async (service) => {
    const status = await readFile(`/proc/${service.pid}/status`, 'utf8').catch(() => '')
    return [service.command, Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)] as const
  })
  return Object.fromEntries(await Promise.all(entries))
}

/** `kafka`: one process a service over a real Kafka; otherwise everything in one process on the embedded log. */
export async function openBenchDeployment(options: { readonly kafka: boolean }): Promise<BenchDeployment> {
  await using stack = new AsyncDisposableStack()
  const services: ServiceProcess[] = []
  let ingestUrl: string
  let queryUrl: string
  let project: ProjectKeys
  if (options.kafka) {
    const kafka = await startKafka()
    if ('unavailable' in kafka) throw new Error(kafka.unavailable)
    stack.defer(() => kafka.stop())
    const clickhouse = await startClickHouse()
    stack.defer(() => clickhouse.stop())
    const deployment = await openDeployment({ brokers: kafka.brokers, clickhouseUrl: clickhouse.url })
    stack.defer(async () => deployment.close())
    const admin = await deployment.start('admin')
    project = await deployment.project(admin.url)
    const [ingest, loader, query] = await Promise.all([
      deployment.start('ingest'),
      deployment.start('loader'),
      deployment.start('query'),
    ])
    services.push(ingest, loader, query)
    ingestUrl = ingest.url
    queryUrl = query.url
  } else {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-'))
    stack.defer(async () => rm(folder, { recursive: true, force: true }))
    const all = await startService('all', {
      env: { ...deploymentEnv(DEPLOYMENT), TRIBUTARY_DATA_DIR: folder, TRIBUTARY_LOG_LEVEL: 'warn' },
    })
    stack.defer(async () => void (await all.stop()))
    services.push(all)
    ingestUrl = all.url
    queryUrl = all.url
    project = await createProject(all.url, DEPLOYMENT, 'bench')
  }
  const open = stack.move()
  return {
    ingestUrl,
    queryUrl,
    project,
    residentMiB: async () => residentMiB(services),
    [Symbol.asyncDispose]: async () => open.disposeAsync(),
  }
}

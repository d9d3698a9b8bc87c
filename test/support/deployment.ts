import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createProject, DEPLOYMENT, deploymentEnv, type ProjectKeys } from './api.ts'
import { type ServiceProcess, launchService, startService } from './processes.ts'

/** A deployment of separate processes over one log and one ClickHouse, for the tests of what crosses processes. */
export interface DeploymentUnderTest {
  readonly env: Readonly<Record<string, string>>
  start(command: string, extra?: Readonly<Record<string, string>>): Promise<ServiceProcess>
  /** Starts a process on the port that another one had. */
  restart(old: ServiceProcess, extra?: Readonly<Record<string, string>>): Promise<ServiceProcess>
  project(adminUrl: string, name?: string): Promise<ProjectKeys>
  /** Ends what still runs and removes the folders. */
  close(): Promise<void>
}

export interface DeploymentOptions {
  /** Brokers of a real Kafka; undefined: the embedded log, in a folder that the processes share. */
  readonly brokers: readonly string[] | undefined
  readonly clickhouseUrl: string
  readonly env?: Readonly<Record<string, string>>
}

/** Gives the deployment topics, groups and a database of its own, makes them, and starts nothing else. */
export async function openDeployment(options: DeploymentOptions): Promise<DeploymentUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-deployment-'))
  const name = `t${randomBytes(6).toString('hex')}`
  const clickhouse = new URL(options.clickhouseUrl)
  clickhouse.pathname = `/${name}`
  const env: Record<string, string> = {
    ...deploymentEnv(DEPLOYMENT),
    TRIBUTARY_DATA_DIR: folder,
    TRIBUTARY_LOG_LEVEL: 'info',
    CLICKHOUSE_URL: clickhouse.href,
    ...(options.brokers === undefined
      ? {}
      : { KAFKA_BROKERS: options.brokers.join(','), KAFKA_TOPIC_PREFIX: `${name}.`, KAFKA_MIN_INSYNC_REPLICAS: '1' }),
    ...options.env,
  }
  const running = new Set<ServiceProcess>()
  const keep = (service: ServiceProcess): ServiceProcess => {
    running.add(service)
    void service.exited.then(() => running.delete(service))
    return service
  }
  const once = async (command: string): Promise<void> => {
    const service = keep(await launchService(command, { env }))
    const code = await service.exited
    if (code !== 0) throw new Error(`tributary ${command} ended with ${code}:\n${service.output()}`)
  }
  await once('topics')
  await once('migrate')
  return {
    env,
    start: async (command, extra = {}) => keep(await startService(command, { env: { ...env, ...extra } })),
    restart: async (old, extra = {}) =>
      keep(await startService(old.command, { env: { ...env, ...extra }, port: Number(new URL(old.url).port) })),
    project: async (adminUrl, title = 'test') => createProject(adminUrl, DEPLOYMENT, title),
    close: async () => {
      await Promise.all(
        [...running].map(async (service) => {
          service.signal('SIGCONT')
          await service.kill()
        }),
      )
      await rm(folder, { recursive: true, force: true })
    },
  }
}

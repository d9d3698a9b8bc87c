import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { access, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { openKafkaLog } from '../../services/shared/log/kafka/open.ts'

const run = promisify(execFile)

/** Kafka is pinned: the client checks no broker's minimum versions, so a new broker is a change to test. */
const KAFKA_VERSION = '4.3.1'
const COPY_DEPENDENCIES = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tributary</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

/** Says what is missing on this machine for a Kafka on Java; undefined when nothing is. */
export async function missingForJavaKafka(): Promise<string | undefined> {
  const advice = 'Install Java 17 or newer and Maven, or start Docker, or set KAFKA_BROKERS to run the Kafka tests'
  try {
    const { stdout, stderr } = await run('java', ['-version'], { timeout: 20_000 })
    const major = Number(/version "(\d+)/.exec(stdout + stderr)?.[1] ?? 0)
    if (major < 17) return `${advice}: the java here is version ${major}.`
    if (await exists(installed())) return undefined
    await run('mvn', ['-version'], { timeout: 60_000 })
    return undefined
  } catch {
    return `${advice}.`
  }
}

const cacheFolder = (): string => join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tributary')
const installed = (): string => join(cacheFolder(), `kafka-${KAFKA_VERSION}`)
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** The folder with Kafka's jars; fetched once through Maven and kept for later runs. */
async function install(): Promise<string> {
  const folder = installed()
  if (await exists(folder)) return folder
  await mkdir(cacheFolder(), { recursive: true })
  const unlock = await lockFile(`${folder}.lock`)
  try {
    if (!(await exists(folder))) await fetchJars(folder)
  } finally {
    await unlock()
  }
  return folder
}

async function fetchJars(folder: string): Promise<void> {
  const work = await mkdtemp(join(cacheFolder(), 'fetching-'))
  try {
    await writeFile(join(work, 'pom.xml'), POM)
    const jars = join(work, 'jars')
    await run('mvn', ['-q', '-B', COPY_DEPENDENCIES, '-DincludeScope=runtime', `-DoutputDirectory=${jars}`], {
      cwd: work,
      timeout: 900_000,
    })
    await rename(jars, folder) // whole or not at all
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Waits for its turn among processes; a lock whose owner has died is taken over. */
async function lockFile(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' })
      return () => rm(path, { force: true })
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      const owner = Number(await readFile(path, 'utf8').catch(() => ''))
      if (owner > 0 && !isAlive(owner)) await rm(path, { force: true })
      await sleep(200)
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject)
          server.listen(0, '127.0.0.1', () => {
            const address = server.address()
            resolve(typeof address === 'object' && address !== null ? address.port : 0)
          })
        }),
    ),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** What the broker's second listener lets in, by SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. */
export const SASL_USER = { username: 'tributary', password: 'only-for-tests' } as const

function properties(folder: string, [plain, sasl, controller]: readonly number[]): string {
  const security = 'org.apache.kafka.common.security'
  const { username, password } = SASL_USER
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    listeners: `PLAINTEXT://127.0.0.1:${plain},SASL://127.0.0.1:${sasl},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${plain},SASL://127.0.0.1:${sasl}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT',
    'listener.name.sasl.sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.sasl.plain.sasl.jaas.config': `${security}.plain.PlainLoginModule required user_${username}="${password}";`,
    'listener.name.sasl.scram-sha-256.sasl.jaas.config': `${security}.scram.ScramLoginModule required;`,
    'listener.name.sasl.scram-sha-512.sasl.jaas.config': `${security}.scram.ScramLoginModule required;`,
    'log.dirs': join(folder, 'data'),
    'log.retention.bytes': String(2 << 30),
    'log.segment.bytes': String(64 << 20),
    // Each topic takes its index files ahead: small ones keep hundreds of test topics cheap.
    'log.index.size.max.bytes': String(1 << 20),
    'auto.create.topics.enable': 'false',
    // A killed broker is let back in once its session has ended.
    'broker.session.timeout.ms': '2000',
    'broker.heartbeat.interval.ms': '500',
    'num.network.threads': '2',
    'num.io.threads': '4',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    // Compaction within a test's patience.
    'log.cleaner.backoff.ms': '500',
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

export interface JavaKafka {
  readonly brokers: string[]
  /** The same broker behind SASL, for `SASL_USER`. */
  readonly saslBrokers: string[]
  readonly pid: () => number
  /** Ends the process at once (as a crash does) and keeps its data. */
  kill(): Promise<void>
  /** Starts it again on the same ports and data; resolves when it answers. */
  restart(): Promise<void>
  /** Ends the process and throws its data away. */
  stop(): Promise<void>
}

const SERVER_OPTIONS = ['-Xms256m', '-Xmx768m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
const LOG_OPTION = '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'

/** One broker with its controller (KRaft) on the loopback interface, with its data in a temporary folder. */
export async function startJavaKafka(): Promise<JavaKafka> {
  const classPath = join(await install(), '*')
  const folder = await mkdtemp(join(tmpdir(), 'tributary-kafka-'))
  const ports = await freePorts(3)
  const file = join(folder, 'server.properties')
  const logFile = join(folder, 'server.log')
  await writeFile(file, properties(folder, ports))
  const java = ['-XX:TieredStopAtLevel=1', LOG_OPTION, '-cp', classPath]
  const scram = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
    '--add-scram',
    `${mechanism}=[name=${SASL_USER.username},password=${SASL_USER.password}]`,
  ])
  const clusterId = randomBytes(16).toString('base64url')
  const format = ['kafka.tools.StorageTool', 'format', `--cluster-id=${clusterId}`, '-c', file, ...scram]
  await run('java', [...java, ...format], { timeout: 120_000 })

  const brokers = [`127.0.0.1:${ports[0]}`]
  let server: ChildProcess
  let watcher: ChildProcess | undefined
  const launch = async () => {
    const log = openSync(logFile, 'a')
    const args = [...SERVER_OPTIONS, LOG_OPTION, '-cp', classPath, 'kafka.Kafka', file]
    server = spawn('java', args, { stdio: ['ignore', log, log] })
    closeSync(log)
    watcher?.kill('SIGKILL')
    watcher = watch(server.pid ?? 0, folder)
    await answers(brokers, () => server.exitCode ?? server.signalCode, logFile)
  }
  const kill = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const gone = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGKILL')
    await gone
  }
  const onExit = () => {
    server?.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', onExit)
  const stop = async () => {
    await kill()
    watcher?.kill('SIGKILL')
    process.off('exit', onExit)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await launch()
  } catch (error) {
    await stop()
    throw error
  }
  return { brokers, saslBrokers: [`127.0.0.1:${ports[1]}`], pid: () => server.pid ?? 0, kill, restart: launch, stop }
}

/** A shell that outlives this process however it ends, sees its pipe close, ends the broker and removes its data. */
function watch(pid: number, folder: string): ChildProcess {
  const script = 'trap "" INT TERM HUP; cat >/dev/null; kill -9 "$0" 2>/dev/null; sleep 1; rm -rf "$1"'
  const watcher = spawn('sh', ['-c', script, String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watcher.unref()
  return watcher
}

async function answers(brokers: string[], ended: () => unknown, logFile: string): Promise<void> {
  const deadline = performance.now() + 120_000
  for (;;) {
    try {
      const settings = { connectionTimeoutMs: 2_000, requestTimeoutMs: 1_000, logger: { warn() {} } }
      const log = await openKafkaLog({ brokers, clientId: 'is-it-up', ...settings })
      await log.close()
      return
    } catch (error) {
      if (ended() !== null || performance.now() > deadline) {
        const log = readFileSync(logFile, 'utf8').slice(-2_000)
        throw new Error(`Kafka did not start; its log ends with: ${log}`, { cause: error })
      }
    }
  }
}

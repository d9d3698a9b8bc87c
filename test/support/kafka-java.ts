import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openKafkaLog } from '../../services/shared/log/kafka/open.ts'
import { cacheFolder, exists, fetchedOnce } from './fetched.ts'
import { freePorts } from './free-ports.ts'
import { watch } from './watch.ts'

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

const installed = (): string => join(cacheFolder(), `kafka-${KAFKA_VERSION}`)

/** The folder with Kafka's jars; fetched once through Maven and kept for later runs. */
const install = (): Promise<string> => fetchedOnce(installed(), fetchJars)

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

  const brokers = [`127.0.0.1:${ports[0]}`]
  let server: ChildProcess | undefined
  let watcher: ChildProcess | undefined
  const launch = async () => {
    const log = openSync(logFile, 'a')
    const args = [...SERVER_OPTIONS, LOG_OPTION, '-cp', classPath, 'kafka.Kafka', file]
    const started = spawn('java', args, { stdio: ['ignore', log, log] })
    server = started
    closeSync(log)
    watcher?.kill('SIGKILL')
    watcher = watch(started.pid ?? 0, folder)
    await answers(brokers, () => started.exitCode ?? started.signalCode, logFile)
  }
  const kill = async () => {
    const running = server
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    const gone = new Promise((resolve) => running.once('exit', resolve))
    running.kill('SIGKILL')
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
    await run('java', [...java, ...format], { timeout: 120_000 })
    await launch()
  } catch (error) {
    await stop()
    throw error
  }
  return { brokers, saslBrokers: [`127.0.0.1:${ports[1]}`], pid: () => server?.pid ?? 0, kill, restart: launch, stop }
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

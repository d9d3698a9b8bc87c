import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { dockerAnswers } from './docker.ts'
import { freePorts } from './free-ports.ts'
import { type GoTool, goTool, missingForGoTools } from './go-tool.ts'
import { watch } from './watch.ts'

const VERSITYGW: GoTool = { path: 'github.com/versity/versitygw/cmd/versitygw', version: 'v1.8.0' }
const FAKE_GCS: GoTool = { path: 'github.com/fsouza/fake-gcs-server', version: 'v1.56.1' }

/** What the S3 server lets in. */
export const S3_USER = { accessKeyId: 'tributary-tests', secretAccessKey: 'only-for-tests-only-for-tests' } as const

export interface BucketServers {
  /** `http://host:port` of a server that speaks S3, path style, for `S3_USER`. */
  readonly s3: string
  /** `http://host:port` of a server that speaks Cloud Storage's JSON API, for anybody. */
  readonly gcs: string
  stop(): Promise<void>
}

/**
 * Real servers of both kinds: in containers when a Docker engine answers, otherwise built from the Go module proxy.
 * They keep their objects in a temporary folder.
 */
export async function startBucketServers(): Promise<BucketServers | { readonly unavailable: string }> {
  if (await dockerAnswers()) return startContainers()
  const unavailable = await missingForGoTools([VERSITYGW, FAKE_GCS])
  if (unavailable !== undefined) return { unavailable }
  const versitygw = await goTool(VERSITYGW)
  const fakeGcs = await goTool(FAKE_GCS)
  const folder = await mkdtemp(join(tmpdir(), 'tributary-buckets-'))
  const [s3Port = 0, gcsPort = 0] = await freePorts(2)
  const at = (port: number): string => `http://127.0.0.1:${port}`
  await mkdir(join(folder, 's3'))
  await mkdir(join(folder, 'metadata-of-s3'))
  const { accessKeyId, secretAccessKey } = S3_USER
  const access = ['--access', accessKeyId, '--secret', secretAccessKey]
  const posix = ['posix', '--sidecar', join(folder, 'metadata-of-s3'), join(folder, 's3')]
  const started = [
    launch(versitygw, ['--port', `127.0.0.1:${s3Port}`, '--keep-alive', '--quiet', ...access, ...posix], folder),
    launch(
      fakeGcs,
      ['-scheme', 'http', '-host', '127.0.0.1', '-port', `${gcsPort}`, '-log-level', 'error']
        .concat(['-external-url', at(gcsPort), '-public-host', `127.0.0.1:${gcsPort}`])
        .concat(['-filesystem-root', join(folder, 'gcs')]),
      folder,
    ),
  ]
  const onExit = (): void => {
    for (const { child } of started) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', onExit)
  const stop = async (): Promise<void> => {
    for (const { child, watcher } of started) {
      const gone =
        child.exitCode === null && child.signalCode === null && new Promise((done) => child.once('exit', done))
      child.kill('SIGKILL')
      await gone
      watcher.kill('SIGKILL')
    }
    process.off('exit', onExit)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    for (const [index, port] of [s3Port, gcsPort].entries()) await answers(at(port), started[index]?.child, folder)
  } catch (error) {
    await stop()
    throw error
  }
  return { s3: at(s3Port), gcs: at(gcsPort), stop }
}

function launch(
  program: string,
  args: readonly string[],
  folder: string,
): { child: ChildProcess; watcher: ChildProcess } {
  const log = openSync(join(folder, 'server.log'), 'a')
  const child = spawn(program, args, { stdio: ['ignore', log, log] })
  closeSync(log)
  return { child, watcher: watch(child.pid ?? 0, folder) }
}

async function answers(url: string, child: ChildProcess | undefined, folder: string): Promise<void> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const isUp = await fetch(url).then(
      () => true,
      () => false,
    )
    if (isUp) return
    if (child?.exitCode !== null || performance.now() > deadline) {
      throw new Error(
        `a bucket server did not start: ${readFileSync(join(folder, 'server.log'), 'utf8').slice(-2_000)}`,
      )
    }
    await sleep(50)
  }
}

async function startContainers(): Promise<BucketServers> {
  // Loaded here only: it is large, and most machines that come this far have no use for it.
  const { GenericContainer } = await import('testcontainers')
  const { accessKeyId, secretAccessKey } = S3_USER
  const minio = await new GenericContainer('minio/minio:RELEASE.2025-09-07T16-13-09Z')
    .withEnvironment({ MINIO_ROOT_USER: accessKeyId, MINIO_ROOT_PASSWORD: secretAccessKey })
    .withCommand(['server', '/data'])
    .withExposedPorts(9000)
    .start()
  const [port = 0] = await freePorts(1)
  const gcs = `http://127.0.0.1:${port}`
  const fake = await new GenericContainer('fsouza/fake-gcs-server:1.52.3')
    .withCommand(['-scheme', 'http', '-port', '4443', '-external-url', gcs, '-public-host', `127.0.0.1:${port}`])
    .withExposedPorts({ container: 4443, host: port })
    .start()
  return {
    s3: `http://${minio.getHost()}:${minio.getMappedPort(9000)}`,
    gcs,
    stop: async () => {
      await Promise.all([minio.stop(), fake.stop()])
    },
  }
}

// Run as a program, for benchmarks and scripts: prints the addresses as a line of JSON and serves until it is stopped.
if (import.meta.main) {
  const servers = await startBucketServers()
  if ('unavailable' in servers) {
    process.stderr.write(`${servers.unavailable}\n`)
    process.exitCode = 1
  } else {
    process.stdout.write(`${JSON.stringify({ s3: servers.s3, gcs: servers.gcs, user: S3_USER })}\n`)
    const stop = () => void servers.stop().then(() => process.exit(0))
    process.once('SIGINT', stop).once('SIGTERM', stop)
    setInterval(() => {}, 3_600_000)
  }
}

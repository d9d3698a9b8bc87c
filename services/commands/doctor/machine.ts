import { access, constants, statfs } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { dirname } from 'node:path'
import type { Config } from '../../shared/config.ts'
import type { Finding } from './finding.ts'
import { format } from '../progress.ts'

const MIB = 1_048_576
const DISK_PROBLEM_BYTES = 256 * MIB
const DISK_WARNING_BYTES = 2_048 * MIB
const FILES_MIN = 4_096
const MEMORY_MIN_BYTES = 1_024 * MIB

/** This machine: Node, memory, open files, and the data folder where something embedded needs it. */
export async function examineMachine(config: Config): Promise<readonly Finding[]> {
  const embedded = config.log.kind === 'lmdb' || config.warehouse.kind === 'chdb'
  return [
    { level: 'ok', subject: 'Node', says: process.version },
    memory(),
    files(),
    ...(embedded ? await dataFolder(config.dataDir) : []),
  ]
}

function memory(): Finding {
  const says = `${format(totalmem() / MIB)} MiB`
  if (totalmem() >= MEMORY_MIN_BYTES) return { level: 'ok', subject: 'memory', says }
  return { level: 'warning', subject: 'memory', says, todo: 'Give it 1 GiB or more, or run ClickHouse elsewhere.' }
}

function files(): Finding {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const soft = report.userLimits?.open_files?.soft
  const says = soft === undefined ? 'unknown on this system' : `${soft} may be open`
  if (typeof soft !== 'number' || soft >= FILES_MIN) return { level: 'ok', subject: 'file limit', says }
  return {
    level: 'warning',
    subject: 'file limit',
    says,
    todo: `Raise it to ${FILES_MIN} or more (\`ulimit -n 65536\`, or LimitNOFILE= of the service): ClickHouse opens many.`,
  }
}

async function dataFolder(dataDir: string): Promise<readonly Finding[]> {
  const folder = await existing(dataDir)
  const subject = 'data folder'
  try {
    await access(folder, constants.W_OK)
  } catch {
    const todo = 'Let this user write there, or set TRIBUTARY_DATA_DIR to another folder.'
    return [{ level: 'problem', subject, says: `${dataDir} cannot be written`, todo }]
  }
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  const says = `${dataDir}, ${format(free / MIB)} MiB free`
  if (free >= DISK_WARNING_BYTES) return [{ level: 'ok', subject, says }]
  const level = free < DISK_PROBLEM_BYTES ? 'problem' : 'warning'
  return [{ level, subject, says, todo: 'Make room, or set TRIBUTARY_DATA_DIR to a folder on a larger disk.' }]
}

/** The folder itself or, before the first start, the nearest one above it that is there. */
async function existing(folder: string): Promise<string> {
  try {
    await access(folder)
    return folder
  } catch {
    return dirname(folder) === folder ? folder : existing(dirname(folder))
  }
}

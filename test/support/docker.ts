import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Whether a Docker engine can be had. */
export async function dockerAnswers(): Promise<boolean> {
  try {
    await promisify(execFile)('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 5_000 })
    return true
  } catch {
    return false
  }
}

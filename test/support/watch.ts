import { type ChildProcess, spawn } from 'node:child_process'

/** A shell that outlives this process however it ends, sees its pipe close, ends the server and removes its data. */
export function watch(pid: number, folder: string): ChildProcess {
  const script = 'trap "" INT TERM HUP; cat >/dev/null; kill -9 "$0" 2>/dev/null; sleep 1; rm -rf "$1"'
  const watcher = spawn('sh', ['-c', script, String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watcher.unref()
  return watcher
}

import type { Life } from '../../shared/lifecycle.ts'

/** Work that ends before what was opened before it closes. What makes it fail ends the process. */
export function startInBackground(life: Life, name: string, run: (signal: AbortSignal) => Promise<void>): void {
  const stop = new AbortController()
  const done = run(stop.signal)
  life.background(name, done)
  life.opened.defer(async () => {
    stop.abort()
    await done.catch(() => {}) // its failure was already told in the background
  })
}

import cliProgress from 'cli-progress'

export interface Progress {
  /** `done` in the unit of the total; `events` counts events for the rate. */
  update(done: number, events: number): void
  note(text: string): void
  stop(): void
}

const LINE_EVERY_MS = 5_000

/**
 * A bar on a terminal, else a line every few seconds. Without a total (0), the count alone.
 */
export function startProgress(total: number, out: NodeJS.WriteStream = process.stderr): Progress {
  const startedAt = performance.now()
  const rate = (events: number): number => Math.round(events / Math.max(0.001, (performance.now() - startedAt) / 1_000))
  if (!out.isTTY) {
    let saidAt = startedAt
    return {
      update(done, events) {
        if (performance.now() - saidAt < LINE_EVERY_MS) return
        saidAt = performance.now()
        const share = total > 0 ? `${Math.floor((done / total) * 100)} %, ` : ''
        out.write(`${share}${format(events)} events, ${format(rate(events))} events/s\n`)
      },
      note: (text) => void out.write(`${text}\n`),
      stop: () => {},
    }
  }
  const bar = new cliProgress.SingleBar(
    {
      format:
        total > 0
          ? '{bar} {percentage} % | {events} events | {rate} events/s | {eta_formatted} left'
          : '{events} events | {rate} events/s',
      hideCursor: true,
      stream: out,
      etaBuffer: 100,
    },
    cliProgress.Presets.shades_classic,
  )
  bar.start(Math.max(1, total), 0, { events: '0', rate: '0' })
  return {
    update: (done, events) => bar.update(Math.min(done, total), { events: format(events), rate: format(rate(events)) }),
    note(text) {
      out.write(`\r\u001B[K${text}\n`)
    },
    stop: () => bar.stop(),
  }
}

export const format = (count: number): string => Math.round(count).toLocaleString('en-US')

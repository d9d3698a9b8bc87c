import { sendBatch, type SendOptions } from './send.ts'
import type { Batch, Refusal } from './batches.ts'

export interface ImportProgress {
  /** Every line up to here has been answered for. */
  readonly line: number
  readonly stored: number
  readonly refused: number
}

export interface ImportDeps {
  readonly batches: AsyncIterable<Batch>
  /** First part of every batch's name: the same when an import is taken up again, different for another import. */
  readonly runId: string
  readonly concurrency: number
  readonly send: SendOptions
  /** Where an earlier run stopped; its batches are not sent again. */
  readonly from: ImportProgress
  /** In order of lines; each call is awaited before the next. */
  onProgress(progress: ImportProgress, refused: readonly Refusal[]): Promise<void>
}

interface InFlight {
  readonly batch: Batch
  readonly answer: Promise<readonly Refusal[]>
}

/**
 * Sends every batch, up to `concurrency` at a time, and reports them in the order of their lines: what has been
 * reported is stored, and what has not been is sent again under the same name by the next run.
 */
export async function runImport(deps: ImportDeps): Promise<ImportProgress> {
  let progress = deps.from
  const flying: InFlight[] = []
  const settleFirst = async (): Promise<void> => {
    const first = flying.shift()
    if (first === undefined) return
    const refused = [...first.batch.refused, ...(await first.answer)].toSorted((a, b) => a.line - b.line)
    progress = {
      line: first.batch.lastLine,
      stored: progress.stored + first.batch.entries.length - (refused.length - first.batch.refused.length),
      refused: progress.refused + refused.length,
    }
    await deps.onProgress(progress, refused)
  }
  try {
    for await (const batch of deps.batches) {
      if (batch.lastLine <= deps.from.line) continue
      deps.send.signal.throwIfAborted()
      const answer = sendBatch(`${deps.runId}-${batch.firstLine}-${batch.lastLine}`, batch.entries, deps.send)
      answer.catch(() => {}) // handled where it is awaited, in order
      flying.push({ batch, answer })
      if (flying.length >= deps.concurrency) await settleFirst()
    }
    while (flying.length > 0) await settleFirst()
  } finally {
    await Promise.allSettled(flying.map(({ answer }) => answer))
  }
  return progress
}

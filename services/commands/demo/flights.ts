import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { zstdDecompressSync } from 'node:zlib'
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet'
import { AppError } from '../../shared/errors.ts'
import type { Prepared } from '../import/batches.ts'

/** Flights inside the United States in the first half of 2001, ordered by departure; times as the airports' clocks said. */
export interface Flight {
  readonly date: Date
  /** Minutes late at arrival; negative when early. */
  readonly delay: number
  /** Miles. */
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

interface Row {
  readonly date: Date
  readonly delay: bigint
  readonly distance: bigint
  readonly origin: string
  readonly destination: string
}

export function flightsFile(): string {
  try {
    // The package exports its entry alone, `build/index.js`; the data is beside that folder.
    return join(dirname(fileURLToPath(import.meta.resolve('vega-datasets'))), '../data/flights-3m.parquet')
  } catch (error) {
    throw new AppError(
      'CONFIG_INVALID',
      'The package vega-datasets, with the flights, is missing. Run `npm install`.',
      {
        cause: error,
      },
    )
  }
}

/** How many flights the file holds. */
export async function countFlights(path: string): Promise<number> {
  return Number((await parquetMetadataAsync(await asyncBufferFromFile(path))).num_rows)
}

/** Every `step`th flight of the file, `max` at most, numbered from 1. One row group is in memory at a time. */
export async function* readFlights(
  path: string,
  options: { readonly step: number; readonly max: number },
): AsyncGenerator<{ readonly number: number; readonly flight: Flight }> {
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file)
  let rowStart = 0
  let taken = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    const rows: Row[] = []
    await parquetRead({
      file,
      metadata,
      rowStart,
      rowEnd,
      rowFormat: 'object',
      compressors: { ZSTD: (input: Uint8Array) => zstdDecompressSync(input) },
      onComplete: (found: Record<string, unknown>[]) => {
        for (const row of found) rows.push(row as unknown as Row)
      },
    })
    for (const [index, row] of rows.entries()) {
      if ((rowStart + index) % options.step !== 0) continue
      if (taken >= options.max) return
      taken += 1
      yield {
        number: taken,
        flight: { ...row, delay: Number(row.delay), distance: Number(row.distance) },
      }
    }
    rowStart = rowEnd
  }
}

/** A flight as the event that is recorded. */
export function flightEvent(flight: Flight): Prepared {
  const { date, delay, distance, origin, destination } = flight
  return { json: JSON.stringify({ keen: { timestamp: date.toISOString() }, delay, distance, origin, destination }) }
}

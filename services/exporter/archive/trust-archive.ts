import type { Logger } from 'pino'
import type { Bucket } from '../../shared/bucket/port.ts'
import { probeBucket } from '../../shared/bucket/probe.ts'
import { AppError, hasCode } from '../../shared/errors.ts'
import { type Backoff, untilDefinite } from '../../shared/retry.ts'

export interface TrustDeps {
  readonly bucket: Bucket
  readonly settings: Backoff
  readonly logger: Pick<Logger, 'warn'>
}

/**
 * Tries out, before anything is written to the archive, that its bucket never replaces an object: all that is promised of the
 * archive rests on that. Waits for a bucket that does not answer. Rejects with CONFIG_INVALID where the service replaces
 * objects all the same, and with SHUTTING_DOWN when `signal` aborted. A bucket that refuses the trial for another reason
 * (no right to delete, say) is told of and taken at its word.
 */
export async function trustArchive({ bucket, settings, logger }: TrustDeps, signal: AbortSignal): Promise<void> {
  const archive = bucket.description
  try {
    await untilDefinite(
      settings,
      signal,
      async () => probeBucket(bucket, signal),
      (error) => logger.warn({ archive, err: error }, 'the archive does not answer; it is tried again'),
    )
  } catch (error) {
    if (!hasCode(error, 'BUCKET_REFUSED')) throw error
    if (error.details['breaks'] !== 'promise') {
      logger.warn({ archive, err: error }, 'the archive could not be tried out')
      return
    }
    const message = `The archive ${archive} cannot be used: ${error.message} Events would be lost or doubled there.`
    throw new AppError('CONFIG_INVALID', message, { cause: error })
  }
}

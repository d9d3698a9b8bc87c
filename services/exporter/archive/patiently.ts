import { AppError, hasCode } from '../../shared/errors.ts'

/**
 * An archive that refuses (a policy, a quota, a key that expired) is put right by its operator sooner or later; until then
 * the log keeps what is not exported, and nothing else of the process need stop.
 */
export async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    if (!hasCode(error, 'BUCKET_REFUSED')) throw error
    throw new AppError('BUCKET_UNAVAILABLE', error.message, { cause: error, details: error.details })
  }
}

import { AppError } from '../shared/errors.ts'

/** What a server that is away, or refuses us, said; its first line alone. */
function whyAway({ code, cause }: AppError): string {
  if (!(cause instanceof Error) || (code !== 'LOG_UNAVAILABLE' && code !== 'WAREHOUSE_UNAVAILABLE')) return ''
  const deepest = cause.cause instanceof Error ? cause.cause : cause
  return ` (${deepest.message.split('\n', 1)[0]})`
}

/** A sentence for what the user can put right; the stack for what only we can. */
export function explain(error: unknown): string {
  if (error instanceof AppError) return `${error.message}${whyAway(error)}`
  const { code, message, stack } = error as NodeJS.ErrnoException
  switch (code ?? '') {
    case 'ENOSPC':
      return 'The disk is full. Make room, or set TRIBUTARY_DATA_DIR to a folder on another disk.'
    case 'EACCES':
    case 'EROFS':
      return `A file or folder cannot be written: ${message}. Check its owner, or set TRIBUTARY_DATA_DIR to another folder.`
    default:
      return stack ?? String(error)
  }
}

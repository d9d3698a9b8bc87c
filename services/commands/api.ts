import { AppError } from '../shared/errors.ts'

export interface ApiRequest {
  readonly url: string
  readonly path: string
  readonly key: string
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly body?: unknown
  readonly timeoutMs?: number
}

/** One call of the HTTP API. Throws ServiceUnavailableError when nobody answers, InvalidRequestError on a refusal. */
export async function callApi(request: ApiRequest): Promise<unknown> {
  const { url, path, key, body, timeoutMs = 60_000 } = request
  let response: Response
  let text: string
  try {
    response = await fetch(`${url}${path}`, {
      method: request.method ?? (body === undefined ? 'GET' : 'POST'),
      headers: { Authorization: key, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    })
    text = await response.text()
  } catch (error) {
    throw new AppError('ServiceUnavailableError', `Nobody answers at ${url}.`, { cause: error })
  }
  const value = parsed(text)
  if (response.ok) return value
  const { message, error_code: code } = (value ?? {}) as { message?: string; error_code?: string }
  throw new AppError(
    response.status === 404 ? 'ResourceNotFoundError' : 'InvalidRequestError',
    `${path} was answered with HTTP ${response.status}: ${message ?? 'no reason given'} (${code ?? 'no code'})`,
    { details: { status: response.status } },
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

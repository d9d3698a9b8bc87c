import type { IncomingMessage } from 'node:http'

/**
 * What a request is to a bucket's client, in either protocol. `create`, `part`, `complete`, `status` and `abort` are of
 * one large upload; `put` is of a small one.
 */
export type BucketStep =
  | 'create'
  | 'part'
  | 'complete'
  | 'status'
  | 'abort'
  | 'put'
  | 'list'
  | 'head'
  | 'get'
  | 'delete'
  | 'other'

export interface Asked {
  readonly step: BucketStep
  /** The object's; of a listing, its prefix. */
  readonly key: string
}

/** Tells what a request to S3 (path style) or to Cloud Storage's JSON API is. */
export function stepOf(request: IncomingMessage): Asked {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://localhost')
  const isGcs = /^\/(upload\/)?storage\/v1\//.test(pathname)
  return isGcs ? stepOfGcs(request, pathname, query) : stepOfS3(request, pathname, query)
}

function stepOfS3({ method = '' }: IncomingMessage, pathname: string, query: URLSearchParams): Asked {
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'))
  const as = (step: BucketStep): Asked => ({ step, key })
  if (query.has('list-type')) return { step: 'list', key: query.get('prefix') ?? '' }
  if (key === '') return as('other')
  if (method === 'POST') return as(query.has('uploads') ? 'create' : 'complete')
  if (method === 'PUT') return as(query.has('partNumber') ? 'part' : 'put')
  if (method === 'DELETE') return as(query.has('uploadId') ? 'abort' : 'delete')
  return as(method === 'HEAD' ? 'head' : 'get')
}

function stepOfGcs({ method = '', headers }: IncomingMessage, pathname: string, query: URLSearchParams): Asked {
  const named = /\/o\/([^/]+)$/.exec(pathname)?.[1]
  const key = named === undefined ? (query.get('name') ?? '') : decodeURIComponent(named)
  const as = (step: BucketStep): Asked => ({ step, key })
  if (query.has('upload_id')) {
    if (method === 'DELETE') return as('abort')
    const [, last, total] = /^bytes \d+-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? []
    if (last === undefined) return as('status')
    return as(Number(last) + 1 === Number(total) ? 'complete' : 'part')
  }
  if (method === 'POST') return as(query.get('uploadType') === 'resumable' ? 'create' : 'put')
  if (pathname.endsWith('/o')) return { step: 'list', key: query.get('prefix') ?? '' }
  if (named === undefined) return as('other')
  if (method === 'DELETE') return as('delete')
  return as(query.get('alt') === 'media' ? 'get' : 'head')
}

import { createHmac, createSecretKey, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { JobName } from './files.ts'

/** Links that open one file until a moment, for whoever has them. */
export interface Links {
  /** The path and query of a job's file. */
  sign(job: JobName, expiresAtMs: number): string
  /** Whether this token was made for this job and is still good. `expires` and `token` as they stand in the URL. */
  isGood(job: JobName, expires: string | undefined, token: string | undefined, nowMs: number): boolean
}

/** `secret`: the deployment's; a link made by one process is good in all. */
export function linksUnder(secret: string): Links {
  const key = createSecretKey(Buffer.from(hkdfSync('sha256', secret, 'tributary', 'extractions: links', 32)))
  const tokenOf = ({ projectId, id }: JobName, expires: string): Buffer =>
    createHmac('sha256', key).update(`${projectId}/${id}/${expires}`).digest()
  return {
    sign(job, expiresAtMs) {
      const token = tokenOf(job, String(expiresAtMs)).toString('base64url')
      return `/3.0/projects/${job.projectId}/extractions/${job.id}/file?expires=${expiresAtMs}&token=${token}`
    },
    isGood(job, expires, token, nowMs) {
      if (expires === undefined || token === undefined || !/^\d{1,15}$/.test(expires)) return false
      const [given, wanted] = [Buffer.from(token, 'base64url'), tokenOf(job, expires)]
      return given.length === wanted.length && timingSafeEqual(given, wanted) && Number(expires) > nowMs
    },
  }
}

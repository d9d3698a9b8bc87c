/** What one check found. `todo` says what to do, unless all is well. */
export interface Finding {
  readonly level: 'ok' | 'note' | 'warning' | 'problem'
  readonly subject: string
  readonly says: string
  readonly todo?: string
}

const SIGN = { ok: 'ok     ', note: 'note   ', warning: 'WARNING', problem: 'PROBLEM' } as const

export function findingText({ level, subject, says, todo }: Finding): string {
  const line = `${SIGN[level]}  ${subject}: ${says}`
  return todo === undefined ? line : `${line}\n         -> ${todo}`
}

import type { TestProject } from 'vitest/node'

/** Started once a run, stopped at its end: what the suites under contract/, integration/ and compat/ talk to. */
export default async function setup(_project: TestProject): Promise<() => Promise<void>> {
  return async () => {}
}

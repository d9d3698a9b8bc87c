import { afterAll, beforeAll, describe } from 'vitest'
import type { EventLogFixture, EventLogUnderTest, Setting } from './event-log-kit.ts'
import { topicTests } from './event-log-topics.ts'
import { appendTests } from './event-log-append.ts'
import { followTests } from './event-log-follow.ts'
import { consumeTests } from './event-log-consume.ts'
import { claimTests } from './event-log-claims.ts'
import { cleanupTests } from './event-log-cleanup.ts'

/** Holds an adapter of the port `EventLog` to its promises. Call it at the top of a test file. */
export function eventLogContract(adapter: EventLogUnderTest): void {
  describe(`the log on ${adapter.name}`, () => {
    let fixture: EventLogFixture | undefined
    beforeAll(async () => {
      fixture = await adapter.open()
    })
    afterAll(async () => {
      await fixture?.close()
    })
    const setting: Setting = {
      adapter,
      fixture() {
        if (fixture === undefined) throw new Error('the log is not open')
        return fixture
      },
    }
    describe('topics', () => topicTests(setting))
    describe('append', () => appendTests(setting))
    describe('follow', () => followTests(setting))
    describe('consume', () => consumeTests(setting))
    describe('claims', () => claimTests(setting))
    describe('cleanup', () => cleanupTests(setting))
  })
}

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { balance } from '../../../services/shared/log/lmdb/balance.ts'

const NOTHING: ReadonlySet<number> = new Set()

/** Lets every member act in turn until none wants to; what a turn releases is free before the next. Counts the moves. */
function settle(members: readonly string[], partitions: number, owners: Map<number, string>): number {
  let moves = 0
  for (let round = 0; ; round += 1) {
    expect(round).toBeLessThan(50)
    let acted = false
    for (const me of members) {
      const { take, release } = balance({ members, me, partitions, owners, avoid: NOTHING })
      for (const partition of release) {
        expect(owners.get(partition)).toBe(me)
        owners.delete(partition)
      }
      for (const partition of take) {
        expect(owners.has(partition)).toBe(false)
        owners.set(partition, me)
        moves += 1
      }
      acted ||= take.length + release.length > 0
    }
    if (!acted) return moves
  }
}

const group = fc.record({
  members: fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), { minLength: 1, maxLength: 7 }),
  partitions: fc.integer({ min: 1, max: 24 }),
  seed: fc.array(fc.nat(10), { minLength: 24, maxLength: 24 }),
})

test('from any state a group comes to rest with every partition held, evenly, and stays there', () => {
  fc.assert(
    fc.property(group, ({ members, partitions, seed }) => {
      const owners = new Map<number, string>()
      for (let partition = 0; partition < partitions; partition += 1) {
        const member = members[seed[partition] ?? 0]
        if (member !== undefined) owners.set(partition, member)
      }
      settle(members, partitions, owners)
      expect(owners.size).toBe(partitions)
      const counts = members.map((member) => [...owners.values()].filter((owner) => owner === member).length)
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
      expect(settle(members, partitions, owners)).toBe(0)
    }),
  )
})

test('a member that joins gets its share and moves nothing else', () => {
  const owners = new Map([0, 1, 2, 3, 4, 5].map((partition) => [partition, partition < 3 ? 'a' : 'b']))
  expect(settle(['a', 'b', 'c'], 6, owners)).toBe(2)
})

test('what a member has to avoid is left to others', () => {
  const view = { members: ['a'], me: 'a', partitions: 3, owners: new Map<number, string>() }
  expect(balance({ ...view, avoid: new Set([1]) })).toEqual({ take: [0, 2], release: [] })
})

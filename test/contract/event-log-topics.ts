import { expect, test } from 'vitest'
import { freshTopic, type Setting } from './event-log-kit.ts'

export function topicTests({ fixture }: Setting): void {
  test('a topic is made once, however often and from however many handles it is asked for', async () => {
    const { log, openSecond } = fixture()
    const second = await openSecond()
    try {
      const spec = freshTopic({ partitions: 3 })
      const all = await Promise.all([log, second, log, second].map((handle) => handle.ensureTopics([spec])))
      all.push(await log.ensureTopics([spec]))
      const infos = all.flat()
      expect(infos).toHaveLength(5)
      for (const info of infos) expect(info).toEqual({ name: spec.name, partitions: 3, epoch: infos[0]?.epoch })
    } finally {
      await second.close()
    }
  })

  test('several topics are answered in the order they were asked for', async () => {
    const { log } = fixture()
    const specs = [freshTopic({ partitions: 2 }), freshTopic({ compacted: true }), freshTopic({ partitions: 4 })]
    const infos = await log.ensureTopics(specs)
    expect(infos.map(({ name, partitions }) => ({ name, partitions }))).toEqual(
      specs.map(({ name, partitions }) => ({ name, partitions })),
    )
  })

  test('an epoch is short, stays the same for every handle, and differs between topics', async () => {
    const { log, openSecond } = fixture()
    const [one, two] = [freshTopic(), freshTopic()]
    await log.ensureTopics([one, two])
    const second = await openSecond()
    try {
      const epoch = (await log.describe(one.name)).epoch
      expect(epoch).toMatch(/^[A-Za-z0-9_-]{1,36}$/)
      expect((await second.describe(one.name)).epoch).toBe(epoch)
      expect((await log.describe(two.name)).epoch).not.toBe(epoch)
    } finally {
      await second.close()
    }
  })

  test('a topic with more partitions than asked for is taken as it is; with fewer, or the other cleanup rule, refused', async () => {
    const { log } = fixture()
    const spec = freshTopic({ partitions: 2 })
    await log.ensureTopics([spec])
    expect((await log.ensureTopics([{ ...spec, partitions: 1 }]))[0]?.partitions).toBe(2)
    await expect(log.ensureTopics([{ ...spec, partitions: 3 }])).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    await expect(log.ensureTopics([{ ...spec, compacted: true }])).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    expect((await log.describe(spec.name)).partitions).toBe(2)
  })

  test('a topic that is not there is said to be unavailable', async () => {
    const { log } = fixture()
    const { name } = freshTopic()
    await expect(log.describe(name)).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
    await expect(log.ends(name)).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
    const following = log.follow(name, () => {}, new AbortController().signal)
    await expect(following.caughtUp).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
    await expect(following.done).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
  })

  test('a log that works says so when pinged', async () => {
    await fixture().log.ping()
  })
}

import type { EventLog } from './port.ts'

/** The same log, with `prefix` in front of the names of its topics and groups: several deployments on one Kafka. */
export function prefixedLog(log: EventLog, prefix: string): EventLog {
  if (prefix === '') return log
  const named = (name: string): string => prefix + name
  const plain = <T extends { readonly name: string }>(topic: T): T => ({
    ...topic,
    name: topic.name.slice(prefix.length),
  })
  return {
    kind: log.kind,
    ensureTopics: async (topics) => {
      const infos = await log.ensureTopics(topics.map((topic) => ({ ...topic, name: named(topic.name) })))
      return infos.map(plain)
    },
    describe: async (topic) => plain(await log.describe(named(topic))),
    ends: (topic) => log.ends(named(topic)),
    append: (topic, messages) => log.append(named(topic), messages),
    follow: (topic, apply, signal, from) => log.follow(named(topic), apply, signal, from),
    consume: (options, handler) =>
      log.consume({ ...options, topic: named(options.topic), group: named(options.group) }, handler),
    committed: (topic, group) => log.committed(named(topic), named(group)),
    ping: () => log.ping(),
    close: () => log.close(),
  }
}

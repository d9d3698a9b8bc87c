import type { EventTree } from './generated.ts'

/** The JSON that a line must mean: `keen` over what the event has of its own in it, and all its other properties. */
export function lineFor(event: EventTree, id: string, timestampMs: number, createdAtMs: number): string {
  const own = event.entries.find(([key]) => key === 'keen')?.[1]
  const ours: (readonly [string, string])[] = [
    ['timestamp', JSON.stringify(new Date(timestampMs).toISOString())],
    ['created_at', JSON.stringify(new Date(createdAtMs).toISOString())],
    ['id', JSON.stringify(id)],
  ]
  const kept = own?.kind === 'object' ? own.entries.map(([key, { text }]) => [key, text] as const) : []
  const keen = objectOf([...new Map([...kept, ...ours])])
  const others = event.entries.filter(([key]) => key !== 'keen').map(([key, { text }]) => [key, text] as const)
  return objectOf([['keen', keen], ...others])
}

const objectOf = (members: readonly (readonly [string, string])[]): string =>
  `{${members.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`

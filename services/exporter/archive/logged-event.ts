import type { LoggedEvent } from '../../shared/events/event.ts'
import type { ArchivedEvent } from '../domain/line.ts'
import type { ArchivedObject } from '../domain/manifest.ts'

/** An archived event as the log had it, but for line breaks between its tokens. Its properties stay a view. */
export const loggedEvent = (
  { project, collection }: Pick<ArchivedObject, 'project' | 'collection'>,
  { id, timestampMs, createdAtMs, repeatKey, properties }: ArchivedEvent,
): LoggedEvent => ({
  project,
  collection,
  id: Buffer.from(id.replaceAll('-', ''), 'hex'),
  timestampMs,
  createdAtMs,
  repeatKey: repeatKey === null ? null : Buffer.from(repeatKey, 'hex'),
  properties,
})

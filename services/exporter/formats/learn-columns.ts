import { parseExactly } from './exact-json.ts'
import { type FileEvents, type KnownColumns, NO_COLUMNS } from './format.ts'
import { PropertyColumns } from './property-columns.ts'

/** Goes through all events of a file for their columns, beside those that are known already. Holds a batch at a time. */
export async function learnColumns(events: FileEvents, known: KnownColumns = NO_COLUMNS): Promise<PropertyColumns> {
  const columns = new PropertyColumns(known)
  for await (const batch of events()) {
    for (const { properties } of batch) columns.learn(parseExactly(properties.toString()))
  }
  return columns
}

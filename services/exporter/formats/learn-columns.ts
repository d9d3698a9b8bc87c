import { parseExactly } from './exact-json.ts'
import type { FileEvents } from './format.ts'
import { PropertyColumns } from './property-columns.ts'

/** Goes through all events of a file for their columns. Holds a batch at a time. */
export async function learnColumns(events: FileEvents): Promise<PropertyColumns> {
  const columns = new PropertyColumns()
  for await (const batch of events()) {
    for (const { properties } of batch) columns.learn(parseExactly(properties.toString()))
  }
  return columns
}

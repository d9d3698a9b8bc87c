import avro from 'avsc'

/** The records of an object container file, by another program's reader. */
export async function readAvro(bytes: Buffer): Promise<unknown[]> {
  const decoder = new avro.streams.BlockDecoder()
  decoder.end(bytes)
  const records: unknown[] = []
  for await (const record of decoder) records.push({ ...(record as object) })
  return records
}

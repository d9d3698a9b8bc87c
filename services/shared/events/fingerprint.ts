const EMPTY = 0xc15d213aa4d7a795n

const TABLE = Array.from({ length: 256 }, (_, i) => {
  let entry = BigInt(i)
  for (let bit = 0; bit < 8; bit += 1) entry = (entry >> 1n) ^ (EMPTY & -(entry & 1n))
  return BigInt.asUintN(64, entry)
})

/** CRC-64-AVRO of a schema's Parsing Canonical Form, as the Avro specification defines it. */
export function avroFingerprint(canonicalForm: string): bigint {
  let fingerprint = EMPTY
  for (const byte of Buffer.from(canonicalForm, 'utf8')) {
    fingerprint = (fingerprint >> 8n) ^ (TABLE[Number((fingerprint ^ BigInt(byte)) & 0xffn)] ?? 0n)
  }
  return fingerprint
}

/** The ten bytes in front of a datum in single-object encoding. */
export function singleObjectHeader(canonicalForm: string): Buffer {
  const header = Buffer.from([0xc3, 0x01, 0, 0, 0, 0, 0, 0, 0, 0])
  header.writeBigUInt64LE(avroFingerprint(canonicalForm), 2)
  return header
}

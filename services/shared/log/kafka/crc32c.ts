const POLYNOMIAL = 0x82f63b78
const BYTES_PER_STEP = 8

/** 256 entries for each of the eight bytes that a step takes in, one table after the other. */
const TABLE: Int32Array = (() => {
  const table = new Int32Array(256 * BYTES_PER_STEP)
  const at = (i: number): number => table[i] ?? 0
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    table[byte] = crc
  }
  for (let i = 256; i < table.length; i += 1) table[i] = at(at(i - 256) & 255) ^ (at(i - 256) >>> 8)
  return table
})()

/**
 * CRC-32C (Castagnoli), as Kafka's record batches carry it: unsigned, over `bytes` from `start` to the end. Eight bytes
 * a step, because this runs over everything that is written and read.
 */
export function crc32c(bytes: Buffer, start = 0): number {
  const table = TABLE
  const at = (i: number): number => table[i] as number
  const byte = (i: number): number => bytes[i] as number
  let crc = -1
  let i = start
  for (const end = bytes.length - BYTES_PER_STEP; i <= end; i += BYTES_PER_STEP) {
    const low = crc ^ (byte(i) | (byte(i + 1) << 8) | (byte(i + 2) << 16) | (byte(i + 3) << 24))
    crc =
      at(1792 + (low & 255)) ^
      at(1536 + ((low >>> 8) & 255)) ^
      at(1280 + ((low >>> 16) & 255)) ^
      at(1024 + (low >>> 24)) ^
      at(768 + byte(i + 4)) ^
      at(512 + byte(i + 5)) ^
      at(256 + byte(i + 6)) ^
      at(byte(i + 7))
  }
  for (; i < bytes.length; i += 1) crc = at((crc ^ byte(i)) & 255) ^ (crc >>> 8)
  return (crc ^ -1) >>> 0
}

import { avroContainer } from './avro.ts'
import { csvGzip } from './csv.ts'
import type { FileFormat, FormatName } from './format.ts'
import { jsonLinesGzip, jsonLinesZstd } from './json-lines.ts'
import { parquetFile } from './parquet.ts'

const FORMATS: Readonly<Record<FormatName, FileFormat>> = {
  'jsonl.gz': jsonLinesGzip,
  'jsonl.zst': jsonLinesZstd,
  'csv.gz': csvGzip,
  avro: avroContainer,
  parquet: parquetFile,
}

export const formatOf = (name: FormatName): FileFormat => FORMATS[name]

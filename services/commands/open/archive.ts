import type { SweepArchive } from '../../exporter/sweep/worker.ts'
import { openFolderBucket } from '../../shared/bucket/folder/open.ts'
import { openGcsBucket } from '../../shared/bucket/gcs/open.ts'
import type { Bucket } from '../../shared/bucket/port.ts'
import { prefixedBucket } from '../../shared/bucket/prefixed.ts'
import { createS3Client } from '../../shared/bucket/s3/client.ts'
import { openS3Bucket } from '../../shared/bucket/s3/open.ts'
import { sweepUploads } from '../../shared/bucket/s3/sweep.ts'
import type { ArchiveConfig } from '../../shared/config/archive.ts'

/** Opens the bucket or folder that holds the archive; undefined when there is none. */
export async function openArchive(config: ArchiveConfig): Promise<Bucket | undefined> {
  switch (config.kind) {
    case 'none':
      return undefined
    case 'folder':
      return openFolderBucket(config.folder)
    case 's3':
      return prefixedBucket(openS3Bucket(config.settings), config.prefix)
    case 'gcs':
      return prefixedBucket(openGcsBucket(config.settings), config.prefix)
    default:
      return config satisfies never
  }
}

/** Undefined where nothing is left of an upload that broke off, or is gone by itself: a folder, Cloud Storage. */
export function archiveSweep(config: ArchiveConfig): SweepArchive | undefined {
  if (config.kind !== 's3') return undefined
  const { settings, prefix } = config
  return async (start, before, signal) => {
    const client = createS3Client(settings)
    try {
      return await sweepUploads(client, { bucket: settings.bucket, prefix: prefix + start, before, signal })
    } finally {
      client.destroy()
    }
  }
}

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openFolderBucket } from '../../services/shared/bucket/folder/open.ts'
import { bucketContract } from './bucket.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-bucket-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

bucketContract('folder', async () => openFolderBucket(mkdtempSync(join(folder, 'b-'))))

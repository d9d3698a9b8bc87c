import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openChdbWarehouse } from '../../../services/shared/warehouse/chdb.ts'
import { migrateContract } from '../../contract/warehouse-migrate.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-migrate-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

migrateContract('migrations on chDB', async () => openChdbWarehouse({ folder, readSessions: 2 }))

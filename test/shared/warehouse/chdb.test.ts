import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openChdbWarehouse } from '../../../services/shared/warehouse/chdb.ts'
import { warehouseContract } from '../../contract/warehouse.ts'

const folder = mkdtempSync(join(tmpdir(), 'tributary-chdb-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

warehouseContract('chDB in the process', async () => openChdbWarehouse({ folder, readSessions: 2 }))

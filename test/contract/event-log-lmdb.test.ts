import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLmdbLog } from '../../services/shared/log/lmdb/open.ts'
import { eventLogContract } from './event-log.ts'

const times = { sessionTimeoutMs: 2_000, handoverTimeoutMs: 1_000 }

eventLogContract({
  name: 'LMDB',
  sweeps: true,
  takeoverMsMax: 10_000,
  async open(options = {}) {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-log-'))
    const log = await openLmdbLog({ folder, ...times, ...options })
    return {
      log,
      openSecond: () => openLmdbLog({ folder, ...times }),
      sweep: () => log.sweep(),
      readAheadBytes: () => log.readAheadBytes(),
      async close() {
        await log.close()
        await rm(folder, { recursive: true })
      },
    }
  },
})

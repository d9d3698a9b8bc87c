import { defineConfig } from 'vitest/config'

const closingLine = './test/support/closing-line.ts'

export default defineConfig({
  test: {
    reporters: ['default', closingLine],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/{contract,integration,compat}/**'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'real',
          include: ['test/{contract,integration,compat}/**/*.test.ts'],
          // One Kafka and one ClickHouse a run, shared by these files, which take turns on two cores.
          globalSetup: ['test/support/real-servers.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})

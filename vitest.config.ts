import { defineConfig } from 'vitest/config';

/** Tests that start servers say in their names which ones. */
const SERVERS = ['test/**/*.{samba,kafka,bed}.test.ts'];

export default defineConfig({
  test: {
    // Parts of the test bed die with the thread that started them, so each file needs a process of its own.
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: SERVERS, testTimeout: 60_000 } },
      { extends: true, test: { name: 'servers', include: SERVERS, testTimeout: 120_000, hookTimeout: 120_000 } },
    ],
  },
});

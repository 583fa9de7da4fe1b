// Four groups: unit tests beside the code; conformance, programs and hostile need a sandbox and live under test/.
import { defineConfig } from 'vitest/config';

// Guests and sentries take turns on the same CPUs, so files of one group run two at a time and no more.
const workers = 2;

function group(name: string, include: string[], testTimeout: number) {
  // Unit tests run the sources; the others run the launcher, which runs the bundle.
  const globalSetup = name === 'unit' ? [] : ['test/harness/build-first.ts'];
  return { extends: true as const, test: { name, include, testTimeout, hookTimeout: testTimeout, globalSetup, maxConcurrency: 2 } };
}

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: workers,
    passWithNoTests: true,
    exclude: ['**/node_modules/**', 'dist/**', '.build/**'],
    projects: [
      group('unit', ['{sentry,platform,gofer,bin}/**/*.test.ts', 'test/harness/**/*.test.ts'], 20_000),
      group('conformance', ['test/syscalls/**/*.test.ts'], 60_000),
      group('programs', ['test/programs/**/*.test.ts'], 180_000),
      group('hostile', ['test/hostile/**/*.test.ts'], 120_000),
    ],
  },
});

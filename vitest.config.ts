/**
 * The groups of tests: unit tests beside the code, and what needs a sandbox under test/.
 *
 * The latter run once for each platform: `conformance-ptrace`, `conformance-seccomp` and so on (`--project 'conformance*'` is both). The
 * platform reaches test/harness/run.ts as TSVISOR_TEST_PLATFORM. Where the host refuses one, `tsvisor features` says why and the tests
 * of that platform are reported as skipped (test/harness/platform-under-test.ts).
 */
import { defineConfig } from 'vitest/config';

// Guests and sentries take turns on the same CPUs, so files of one group run two at a time and no more.
const workers = 2;

function group(name: string, include: string[], testTimeout: number) {
  return { extends: true as const, test: { name, include, testTimeout, hookTimeout: testTimeout, maxConcurrency: 2 } };
}

function onEachPlatform(name: string, include: string[], testTimeout: number) {
  return ['ptrace', 'seccomp'].map((platform) => {
    const { extends: inherited, test } = group(`${name}-${platform}`, include, testTimeout);
    // These run the launcher, which runs the bundle.
    const globalSetup = ['test/harness/build-first.ts', 'test/harness/platform-under-test.ts'];
    const setupFiles = ['test/harness/skip-without-platform.ts'];
    return { extends: inherited, test: { ...test, env: { TSVISOR_TEST_PLATFORM: platform }, globalSetup, setupFiles } };
  });
}

/** Tests of `tsvisor` as an OCI runtime, or of whatever TSVISOR_OCI_RUNTIME names. One file at a time: their containers share the host's cgroups. */
function ofTheRuntime(name: string, include: string[], testTimeout: number) {
  const { extends: inherited, test } = group(name, include, testTimeout);
  return { extends: inherited, test: { ...test, fileParallelism: false, globalSetup: ['test/harness/build-first.ts'] } };
}

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: workers,
    passWithNoTests: true,
    exclude: ['**/node_modules/**', 'dist/**', '.build/**'],
    projects: [
      group('unit', ['{sentry,platform,gofer,bin}/**/*.test.ts', 'test/harness/**/*.test.ts'], 20_000),
      ...onEachPlatform('conformance', ['test/syscalls/**/*.test.ts'], 60_000),
      ...onEachPlatform('programs', ['test/programs/**/*.test.ts'], 180_000),
      ...onEachPlatform('hostile', ['test/hostile/**/*.test.ts'], 120_000),
      ...onEachPlatform('stress', ['test/stress/**/*.test.ts'], 60_000),
      ofTheRuntime('oci', ['test/oci/**/*.test.ts'], 60_000),
      ofTheRuntime('clients', ['test/clients/**/*.test.ts'], 180_000),
    ],
  },
});

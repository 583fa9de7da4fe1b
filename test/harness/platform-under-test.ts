/**
 * Global set-up of the groups that run on one platform: asks `tsvisor features` whether this host allows it.
 *
 * Only what tsvisor itself says counts, so that a platform that is broken fails its tests instead of skipping them. A platform that
 * `features` does not list, or lists as not available, is missing; the reason reaches every test file through `inject`.
 */
import type { TestProject } from 'vitest/node';
import { runNative, tsvisor } from './run.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Why the tests of this platform cannot run; empty when they can. */
    platformMissing: string;
  }
}

/** The part of the output of `tsvisor features` that is used here. */
interface Features {
  platforms: Record<string, { available?: boolean; reason?: string | null } | undefined>;
}

/** Why `platform` cannot be used on this host, or an empty string. */
export async function whyMissing(platform: string): Promise<string> {
  const run = await runNative([tsvisor, 'features']);
  if (run.status !== 0) throw new Error(`tsvisor features fails:\n${run.stderr}`);
  const found = (JSON.parse(run.stdout) as Features).platforms[platform];
  if (found === undefined) return 'tsvisor has no such platform';
  return found.available === false ? (found.reason ?? 'not available on this host') : '';
}

export default async function setup(project: TestProject): Promise<void> {
  const platform = project.config.env.TSVISOR_TEST_PLATFORM;
  const missing = platform === undefined ? '' : await whyMissing(platform);
  if (missing !== '') console.log(`${project.name} is skipped: ${missing}`);
  project.provide('platformMissing', missing);
}

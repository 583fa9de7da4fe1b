/**
 * Conformance: the same program runs on Linux and inside, and must print the same and end the same way.
 *
 * Linux comes first and has to succeed: a program that fails there is a wrong test, not a finding. Both runs start in the same
 * empty directory, so that even the paths they print agree.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type InsideOptions, type Outcome, runInside, runNative } from './run.ts';

export interface SameOptions extends Omit<InsideOptions, 'cwd'> {
  /** Exit status that Linux has to give; 0 when absent. */
  status?: number;
}

/** Runs `work` in an empty directory that is gone afterwards. Not in /tmp, which a sandbox may have of its own. */
export async function inScratch<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync('/var/tmp/tsvisor-test-');
  // Also for the user of TSVISOR_TEST_UID.
  chmodSync(directory, 0o777);
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs `command` on Linux, then inside, and compares standard output, status and signal. Returns what happened inside. */
export async function expectSame(command: readonly string[], options: SameOptions = {}): Promise<Outcome> {
  return inScratch(async (parent) => {
    const cwd = join(parent, 'work');
    mkdirSync(cwd);
    chmodSync(cwd, 0o777);
    const native = await runNative(command, { ...options, cwd });
    expect(native.timedOut, 'the program does not end on Linux').toBe(false);
    expect(native.status, `the program fails on Linux:\n${native.stdout}${native.stderr}`).toBe(options.status ?? 0);
    rmSync(cwd, { recursive: true });
    mkdirSync(cwd);
    chmodSync(cwd, 0o777);
    const inside = await runInside(command, { ...options, cwd });
    expect(inside.timedOut, `no end inside; so far:\n${inside.stdout}${inside.stderr}`).toBe(false);
    // Output first: its difference says more than a status.
    expect(inside.stdout, inside.stderr).toBe(native.stdout);
    expect(inside.status, inside.stderr).toBe(native.status);
    return inside;
  });
}

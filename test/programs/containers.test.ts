/**
 * Containers on a real platform, driven from within the sentry (container-sandbox.ts): a paused one does nothing whatsoever, whatever its threads
 * were at; processes from outside; several containers in one kernel.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compileGuest } from '../harness/guests.ts';
import { runNative } from '../harness/run.ts';

const SANDBOX = fileURLToPath(new URL('./container-sandbox.ts', import.meta.url));
const counting = compileGuest('programs/counting.c');
const platform = process.env.TSVISOR_TEST_PLATFORM ?? 'seccomp';
const SIGKILL = 9;
/** Longest time until the last thread has stopped: a second is many times what it takes on a busy machine. */
const SLOW_MS = 1000;

interface PauseReport {
  readonly status: number;
  /** What went on while the container was paused. */
  readonly moved: readonly string[];
  /** Rounds that began while calls were hot. */
  readonly hotRounds: number;
  readonly slowestMs: number;
  readonly totals: readonly number[];
}

function runSandbox(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [SANDBOX, ...args], { timeout: 50_000, killSignal: 'SIGKILL' });
    let out = '';
    let errors = '';
    child.stdout.on('data', (data: Buffer) => (out += data.toString('latin1')));
    child.stderr.on('data', (data: Buffer) => (errors += data.toString('latin1')));
    child.on('close', () => (errors === '' ? resolve(out) : reject(new Error(errors))));
  });
}

async function pause(on: string, kinds: string): Promise<PauseReport> {
  return JSON.parse(await runSandbox([on, 'pause', counting, ...kinds.split(' ')])) as PauseReport;
}

function expectStillness({ status, moved, slowestMs, totals }: PauseReport): void {
  expect([status, moved]).toEqual([SIGKILL, []]);
  expect(slowestMs).toBeLessThan(SLOW_MS);
  for (const total of totals) expect(total).toBeGreaterThan(0);
}

const EVERYTHING = 'spin ids calls reads ping pong naps maps forks signals';

describe('a paused container', () => {
  test.for(['spin spin spin', 'calls', 'ids', 'ping pong', EVERYTHING])('does nothing: %s', async (kinds) => {
    expectStillness(await pause(platform, kinds));
  });

  test.runIf(platform === 'seccomp').for(['reads', EVERYTHING])('does nothing, hot: %s', async (kinds) => {
    const report = await pause('hot', kinds);
    expectStillness(report);
    expect(report.hotRounds).toBeGreaterThan(0);
  });
});

/** `signals` kills its parent where it may: not when both are the same ordinary user. */
const DISTURBED = ['fork-wait', 'futex', 'pipes', 'threads', 'timers', ...(process.env.TSVISOR_TEST_UID === undefined ? ['signals'] : [])];

test.for(DISTURBED)('a program that is paused again and again notices nothing: %s', async (name) => {
  const program = compileGuest(`syscalls/${name}.c`);
  const native = await runNative([program]);
  expect(await runSandbox([platform, 'disturb', program])).toBe(native.stdout);
});

test('processes from outside, in one of two containers', async () => {
  const [numbers, hostname, report] = (await runSandbox([platform, 'exec'])).trim().split('\n');
  expect([numbers, hostname]).toEqual(['3 0 1 2 3', 'two']);
  expect(JSON.parse(report!)).toEqual({ status: SIGKILL, events: ['exec 768', 'two 9', 'one 9'], tasks: 0 });
});

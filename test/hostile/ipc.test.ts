/** Bombs of System V IPC and POSIX message queues, with a memory limit and without one: they end, and nothing stays. */
import { describe, expect, test } from 'vitest';
import { compileGuest } from '../harness/guests.ts';
import { runInside } from '../harness/run.ts';

const bombs = ['segments', 'semaphores', 'messages', 'queues', 'crowd'];
const ends: Readonly<Record<string, RegExp>> = {
  segments: /segments of a byte: ENOSPC/,
  semaphores: /sets of 32000: ENOMEM[^]*left over: 0/,
  messages: /messages: ENOMEM/,
  queues: /room: ENOMEM\nqueues: EMFILE/,
  crowd: /waiting: yes/,
};

describe.for([
  ['256 MiB', ['--memory', '256m']],
  ['no limit', []],
] as const)('memory: %s', ([, options]) => {
  test.for(bombs)('%s', async (bomb) => {
    const outcome = await runInside([compileGuest('hostile/ipc-bombs.c'), bomb], {
      timeoutMs: 60_000,
      args: ['--env', 'TSVISOR_HOSTILE=inside', ...options],
    });
    expect(outcome.status, outcome.stdout + outcome.stderr).toBe(0);
    expect(outcome.stdout).not.toContain(': no');
    expect(outcome.stdout.match(/bomb: exited 0/g)?.length).toBe(2);
    expect(outcome.stdout).toMatch(ends[bomb]!);
    expect(outcome.stdout).toContain('afterwards: yes');
  });
});

/**
 * Calls that programs make by the million leave no garbage: what V8 has allocated is the same before and after, but for what the runtime
 * itself allocates now and then. Each uses the same arguments over and over; a new address may cost a boxed number (dispatch.ts).
 */
import { afterAll, describe, expect, it } from 'vitest';
import { measure } from '../../test/bench/path-run.ts';
import { PATH_WORKLOADS } from '../../test/bench/path-workloads.ts';
import type { PathWorkload } from '../../test/bench/path-workloads.ts';

/** For each operation, on average: less than the smallest object there is. */
const NOISE_BYTES = 8;

/** On a machine that has other things to do, code is optimised late and until then makes garbage: the best round counts, and there is a second try. */
const PATIENTLY = { timeout: 120_000, retry: 2 };

const NAMES = [
  'getppid',
  'fstat',
  'lseek',
  'pread 4k host file',
  'pread 4k tmpfs, small',
  'pwrite 4k tmpfs, small',
  'pread 4k tmpfs, memfd',
  'pipe write+read 1 byte',
  'socketpair write+read',
  'eventfd write+read',
  'epoll_wait(0), one ready',
  'futex wake, nobody',
  'rt_sigprocmask',
];

function workload(name: string): PathWorkload {
  return PATH_WORKLOADS.find((candidate) => candidate.name === name)!;
}

describe('garbage', () => {
  const umask = process.umask();
  afterAll(() => process.umask(umask)); // the gofer of the world changes it

  it('does not come from frequent calls', PATIENTLY, () => {
    for (const { workload: measured, bytes } of measure(NAMES.map(workload), { operations: 20_000, rounds: 6 })) {
      expect({ name: measured.name, garbage: bytes >= NOISE_BYTES }).toEqual({ name: measured.name, garbage: false });
    }
  });

  it('does not come from a million reads', PATIENTLY, () => {
    const [read] = measure([workload('pread 4k tmpfs, small')], { operations: 1_000_000, rounds: 2 });
    expect(read!.bytes).toBeLessThan(1);
  });
});

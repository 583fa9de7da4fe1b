import { expect, test } from 'vitest';
import type { GuestSpace } from '#platform/contract/platform.ts';
import { CpuAccount } from './cpu-time.ts';

function space(times: readonly number[]): GuestSpace {
  let i = 0;
  return { cpuTimeNs: () => times[Math.min(i++, times.length - 1)]! } as unknown as GuestSpace;
}

test('counts from where it came in, over several host processes', () => {
  const account = new CpuAccount();
  account.start(space([100, 150, 170]));
  expect(account.usedNs).toBe(50);
  account.stop();
  expect(account.usedNs).toBe(70);
  account.start(space([0, 5]));
  expect(account.usedNs).toBe(75);
});

test('a host process that was killed from outside takes nothing back', () => {
  const account = new CpuAccount();
  account.start(space([10, 60, 0, 0]));
  expect(account.usedNs).toBe(50);
  expect(account.usedNs).toBe(50);
  account.stop();
  expect(account.usedNs).toBe(50);
});

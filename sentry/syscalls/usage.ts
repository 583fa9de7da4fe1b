/**
 * `struct rusage` as getrusage(2), wait4(2) and waitid(2) report it: times, and memory as far as it is known. What is not counted is 0, as
 * for a process that did none of it.
 */
import { Rusage } from '#sentry/abi/resource.ts';
import type { HostMemory } from '#platform/contract/host.ts';

/** Writes a `struct rusage` at the start of `memory`. */
export function encodeUsage(memory: HostMemory, userTimeNs: number, systemTimeNs: number, mappedBytes = 0): void {
  const userUsec = Math.floor(userTimeNs / 1000);
  const systemUsec = Math.floor(systemTimeNs / 1000);
  memory.bytes.fill(0, 0, Rusage.size);
  const { view } = memory;
  const { offsets } = Rusage;
  view.setUint32(offsets.utimeSec, Math.floor(userUsec / 1e6), true);
  view.setUint32(offsets.utimeUsec, userUsec % 1e6, true);
  view.setUint32(offsets.stimeSec, Math.floor(systemUsec / 1e6), true);
  view.setUint32(offsets.stimeUsec, systemUsec % 1e6, true);
  // Kilobytes. What is mapped now stands for what was resident at most: only the host knows that.
  view.setUint32(offsets.maxrss, Math.min(mappedBytes / 1024, 0xffff_ffff), true);
}

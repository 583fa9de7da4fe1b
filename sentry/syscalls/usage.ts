/** `struct rusage` (getrusage(2)) as the calls that report CPU time fill it. Only times are known; the other fields are zero. */
import { Rusage } from '#sentry/abi/resource.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import type { HostMemory } from '#platform/contract/host.ts';

/** Writes a struct rusage to the start of `memory`. Times in nanoseconds. */
export function encodeUsage({ bytes, view }: HostMemory, userNs: number, systemNs: number): void {
  bytes.fill(0, 0, Rusage.size);
  putI64(view, Rusage.offsets.utimeSec, Math.floor(userNs / 1e9));
  putI64(view, Rusage.offsets.utimeUsec, Math.floor((userNs % 1e9) / 1000));
  putI64(view, Rusage.offsets.stimeSec, Math.floor(systemNs / 1e9));
  putI64(view, Rusage.offsets.stimeUsec, Math.floor((systemNs % 1e9) / 1000));
}

/**
 * Sentry memory for what a handler puts together or passes on (directory entries, data between two files) while the files below it use the
 * kernel's scratch memory. Valid until the handler returns.
 */
import type { HostMemory } from '#platform/contract/host.ts';
import type { Kernel } from '../kernel/kernel.ts';

export const STAGING_SIZE = 1 << 17;

const memories = new WeakMap<Kernel, HostMemory>();

export function stagingOf(kernel: Kernel): HostMemory {
  let memory = memories.get(kernel);
  if (memory === undefined) {
    memory = kernel.host.allocate(STAGING_SIZE);
    memories.set(kernel, memory);
  }
  return memory;
}

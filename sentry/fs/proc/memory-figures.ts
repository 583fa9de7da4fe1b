/**
 * How much memory a reader of /proc/meminfo, and a caller of sysinfo(2), is told there is. In a container with a limit that is the limit, as programs
 * that do not look at cgroups expect; what is used then is what the host counts.
 */

/** Of a container, where somebody counts for it. */
export interface MemoryFigures {
  /** Infinity: no limit. */
  readonly limitBytes: number;
  readonly usedBytes: number;
}

export interface MachineMemory {
  readonly machine: { readonly memoryBytes: number };
  /** Bytes committed by guests. */
  readonly memoryUsed: number;
}

export interface ShownMemory {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly usedBytes: number;
}

export function shownMemory({ machine, memoryUsed }: MachineMemory, figures: MemoryFigures | null): ShownMemory {
  const totalBytes = Math.min(machine.memoryBytes, figures?.limitBytes ?? Infinity);
  const usedBytes = figures?.usedBytes ?? memoryUsed;
  return { totalBytes, usedBytes, freeBytes: Math.max(0, totalBytes - usedBytes) };
}

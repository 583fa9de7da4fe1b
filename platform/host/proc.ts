/**
 * The few files of the host's /proc that are read at start-up, before the sentry gives up opening files.
 *
 * Specification: proc(5).
 */
import { readFileSync } from 'node:fs';
import { errnoName } from './errors.ts';

export interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly name: string;
}

/** What the platform must know of the host: read once, in `createHost`. */
export interface HostFacts {
  /** The parts of the vDSO in the order of their addresses; empty when the host has none. */
  readonly vdso: readonly Mapping[];
  /** The lowest address the host lets anyone map. */
  readonly lowestAddress: number;
  /** Yama's restriction of ptrace; null where there is no Yama. */
  readonly ptraceScope: number | null;
}

const VDSO_NAMES = ['[vvar]', '[vvar_vclock]', '[vdso]'];

export function readHostFacts(): HostFacts {
  return {
    vdso: ownMappings().filter((mapping) => VDSO_NAMES.includes(mapping.name)),
    lowestAddress: Math.max(readNumber('/proc/sys/vm/mmap_min_addr') ?? 65536, 4096),
    ptraceScope: readNumber('/proc/sys/kernel/yama/ptrace_scope'),
  };
}

function ownMappings(): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ *(.*)$/.exec(line);
    if (match !== null) mappings.push({ start: parseInt(match[1]!, 16), end: parseInt(match[2]!, 16), name: match[3]! });
  }
  return mappings;
}

function readNumber(path: string): number | null {
  try {
    const value = Number(readFileSync(path, 'latin1').trim());
    return Number.isFinite(value) ? value : null;
  } catch {
    return null;
  }
}

/** One sentence for a user whose host does not let us trace our own child. */
export function ptraceRefusal(errno: number, scope: number | null): string {
  if (scope === 3) return 'this host forbids ptrace (kernel.yama.ptrace_scope=3, which only a reboot undoes); choose another platform';
  if (scope === 2) return 'this host allows ptrace to root only (kernel.yama.ptrace_scope=2); run as root or set it to 1';
  return `this host forbids ptrace (${errnoName(errno)} from PTRACE_SEIZE; in a container, allow the ptrace system call in its seccomp profile)`;
}

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
  /** As in /proc: 'rw-p'. */
  readonly permissions: string;
}

/** What the platform must know of the host: read once, in `createHost`. */
export interface HostFacts {
  /** The parts of the vDSO in the order of their addresses; empty when the host has none. */
  readonly vdso: readonly Mapping[];
  /** Large pieces of anonymous memory, V8's heap above all: what a copy of this process can do without. */
  readonly heap: readonly Mapping[];
  /** The lowest address the host lets anyone map. */
  readonly lowestAddress: number;
  /** Yama's restriction of ptrace; null where there is no Yama. */
  readonly ptraceScope: number | null;
}

const VDSO_NAMES = ['[vvar]', '[vvar_vclock]', '[vdso]'];

const LARGE = 65536;

export function readHostFacts(): HostFacts {
  const mappings = ownMappings();
  return {
    vdso: mappings.filter(({ name }) => VDSO_NAMES.includes(name)),
    heap: mappings.filter(({ start, end, name, permissions }) => name === '' && permissions === 'rw-p' && end - start >= LARGE),
    lowestAddress: Math.max(readNumber('/proc/sys/vm/mmap_min_addr') ?? 65536, 4096),
    ptraceScope: readNumber('/proc/sys/kernel/yama/ptrace_scope'),
  };
}

function ownMappings(): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line);
    if (match === null) continue;
    mappings.push({ start: parseInt(match[1]!, 16), end: parseInt(match[2]!, 16), permissions: match[3]!, name: match[4]! });
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
  return `this host forbids ptrace (${errnoName(errno)} from PTRACE_SEIZE; in a container, allow the ptrace system call in its seccomp profile; under strace, do not follow children)`;
}

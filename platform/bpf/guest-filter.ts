/**
 * The filter of guest processes on the seccomp platform: what becomes of a system call, by its number and the code that makes it.
 *
 * Guest code: every call is the sentry's. Those that need more of the thread than number, arguments and result trap into the stub's
 * handler (SIGSYS); the rest go to the filter's listener. None reaches the host.
 *
 * Stub code (any `syscall` in the stub's pages): the few calls the stub makes. A guest may jump there with any registers, so each
 * rule says why the call is harmless in a guest's hands. Where it might not be, the listener is asked and continues the call only if the
 * sentry ordered exactly it, number and all six arguments, of this very thread. Everything is in registers: nothing to change in between.
 * Everything else fails with EPERM.
 */
import type { Condition, Filter, Rule } from './assembler.ts';

/** Calls that read or change registers, memory mappings or the life of the thread. */
const TRAPPED: ReadonlyArray<readonly [number, string]> = [
  [9, 'mmap'],
  [10, 'mprotect'],
  [11, 'munmap'],
  [12, 'brk'],
  [15, 'rt_sigreturn'],
  [25, 'mremap'],
  [26, 'msync'],
  [28, 'madvise'],
  [34, 'pause'],
  [56, 'clone'],
  [57, 'fork'],
  [58, 'vfork'],
  [59, 'execve'],
  [60, 'exit'],
  [130, 'rt_sigsuspend'],
  [131, 'sigaltstack'],
  [158, 'arch_prctl'],
  [231, 'exit_group'],
  [322, 'execveat'],
  [329, 'pkey_mprotect'],
  [435, 'clone3'],
];

const MAP_NEEDED = 0x32; // MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
/** MAP_NORESERVE, MAP_STACK, MAP_POPULATE, MAP_DENYWRITE and MAP_EXECUTABLE change nothing that matters here. */
const MAP_HARMLESS = 0x2_0000 | 0x4000 | 0x8000 | 0x0800 | 0x1000;
/** Memory calls shorter than this cannot reach the platform's pages, which lie as far above the guest's end. */
const FREE_LENGTH_END = 0x1_0000_0000;
const SYS_MMAP = 9;
const SYS_MADVISE = 28;
const MEMORY_CALLS = [SYS_MMAP, 10, 11, 26, SYS_MADVISE];

/** mmap and mprotect can give a process more memory than the sentry knows of, which matters only where it counts. */
const GROWING = [SYS_MMAP, 10];
/** What cannot do more than cost time: MADV_NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE. */
const FREE_ADVICE = [0, 1, 2, 3, 4, 8];

/**
 * Whether the filter lets the stub make a memory call, one that starts below the guest's end, without asking. `limited`: the memory of
 * guests is.
 */
export function isFreeMemoryCall(nr: number, length: number, third: number, flags: number, limited: boolean): boolean {
  if (!MEMORY_CALLS.includes(nr) || length >= FREE_LENGTH_END || (limited && GROWING.includes(nr))) return false;
  if (nr === SYS_MADVISE) return FREE_ADVICE.includes(third);
  return nr !== SYS_MMAP || ((flags & MAP_NEEDED) === MAP_NEEDED && (flags & ~(MAP_NEEDED | MAP_HARMLESS)) === 0);
}

const FUTEX_WAIT = 0;
const MADV_DONTFORK = 10;
const PR_SET_PDEATHSIG = 1;
/** ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS. */
const SEGMENT_BASES = [0x1001, 0x1002, 0x1003, 0x1004];
const SIGKILL = 9;

export interface GuestFilterOptions {
  readonly guestEnd: number;
  /** Whether the sandbox limits the memory of its guests: then all of it is as the sentry ordered. */
  readonly memoryLimited: boolean;
  /** Where slots of threads lie. */
  readonly slots: { readonly start: number; readonly end: number };
  readonly stub: { readonly start: number; readonly size: number };
  /** The doorbell's number. */
  readonly doorbell: number;
}

function stubRules({ guestEnd, memoryLimited, slots, doorbell }: GuestFilterOptions): Rule[] {
  // Together: it ends below the platform's pages, which no guest can change therefore.
  const inGuest: readonly Condition[] = [
    { argument: 0, below: guestEnd },
    { argument: 1, below: FREE_LENGTH_END },
  ];
  const privateMemory: readonly Condition[] = [
    ...inGuest,
    { argument: 3, bitsSet: MAP_NEEDED },
    { argument: 3, bitsClear: ~(MAP_NEEDED | MAP_HARMLESS) },
  ];
  const slot: readonly Condition[] = [
    { argument: 0, notBelow: slots.start },
    { argument: 0, below: slots.end },
    { argument: 1, below: slots.end - slots.start },
    { argument: 2, oneOf: [MADV_DONTFORK] },
  ];
  const rules: Rule[] = [
    { nr: doorbell, name: 'doorbell', action: 'notify', reason: 'a thread has stopped; no call of the host' },
    { nr: 15, name: 'rt_sigreturn', reason: 'back to the guest; sets only what a guest can set, and its own signal mask' },
    { nr: 9, name: 'mmap', when: privateMemory, reason: 'private memory of its own, without a file' },
    { nr: 9, name: 'mmap', action: 'notify', reason: 'files, and the slots of threads: as ordered' },
    { nr: 10, name: 'mprotect', when: inGuest, reason: 'its own pages; files it may not write are mapped private' },
    { nr: 10, name: 'mprotect', action: 'notify', reason: 'long ranges: as ordered' },
    { nr: 11, name: 'munmap', when: inGuest, reason: 'its own pages' },
    {
      nr: 11,
      name: 'munmap',
      when: [
        { argument: 0, below: 1 },
        { argument: 1, below: slots.start + 1 },
      ],
      reason: 'all of its own pages; between them and the slots lies nothing',
    },
    { nr: 11, name: 'munmap', action: 'notify', reason: 'long ranges: as ordered' },
    {
      nr: 28,
      name: 'madvise',
      when: [...inGuest, { argument: 2, oneOf: FREE_ADVICE }],
      reason: 'its own pages, and no right to more than hints',
    },
    { nr: 28, name: 'madvise', when: slot, reason: 'slots are not inherited; those that exist have the mark already' },
    { nr: 28, name: 'madvise', action: 'notify', reason: 'long ranges, other advice: as ordered' },
    { nr: 26, name: 'msync', when: inGuest, reason: 'write-back of files it has mapped' },
    { nr: 26, name: 'msync', action: 'notify', reason: 'long ranges: as ordered' },
    { nr: 25, name: 'mremap', action: 'notify', reason: 'could enlarge the mapping of a file: as ordered' },
    { nr: 56, name: 'clone', action: 'notify', reason: 'processes and threads: as ordered' },
    { nr: 60, name: 'exit', action: 'notify', reason: 'the end of one thread, which the host tells nobody: as ordered' },
    { nr: 231, name: 'exit_group', reason: 'its own end' },
    {
      nr: 158,
      name: 'arch_prctl',
      when: [{ argument: 0, oneOf: SEGMENT_BASES }],
      reason: 'segment bases on hosts without the instructions; its own',
    },
    { nr: 110, name: 'getppid', reason: 'whether the sentry lives; tells one number' },
    {
      nr: 157,
      name: 'prctl',
      when: [
        { argument: 0, oneOf: [PR_SET_PDEATHSIG] },
        { argument: 1, oneOf: [SIGKILL] },
      ],
      reason: 'dies with the sentry',
    },
    {
      nr: 202,
      name: 'futex',
      when: [
        { argument: 1, oneOf: [FUTEX_WAIT] },
        { argument: 3, oneOf: [0] },
      ],
      reason: 'a posted call sleeps on its slot until it is answered; a guest can only put itself to sleep',
    },
    { nr: 24, name: 'sched_yield', reason: 'waits for its turn' },
  ];
  const isOpen = ({ nr, action = 'allow' }: Rule): boolean => action === 'allow' && GROWING.includes(nr);
  return memoryLimited ? rules.filter((rule) => !isOpen(rule)) : rules;
}

export function guestFilter(options: GuestFilterOptions): Filter {
  return {
    name: 'guest',
    rules: TRAPPED.map(([nr, name]) => ({ nr, name, action: 'trap', reason: 'served from the handler, where registers are at hand' })),
    otherwise: 'notify',
    foreign: 'trap',
    x32: 'rules',
    within: { ...options.stub, rules: stubRules(options), otherwise: 'eperm' },
  };
}

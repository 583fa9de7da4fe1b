/**
 * What guest processes may ask of the host: the calls the sentry injects into them, and nothing else.
 *
 * Under ptrace a guest's own calls are turned away before this filter is consulted; it is the second line, for the case that the
 * first has a hole. A call outside of this list kills the process.
 */
import type { Condition, Filter, Rule } from './assembler.ts';

const MAP_FIXED = 0x10;
const MREMAP_KNOWN_FLAGS = 7; // MAYMOVE, FIXED, DONTUNMAP

/** The platform's own pages, from `guestEnd` on, stay as they are. `cloneFlags` are the flag words of a fork and of a new thread. */
export function stubFilter(guestEnd: number, cloneFlags: readonly number[]): Filter {
  const belowPlatform: Condition = { argument: 0, below: guestEnd };
  const rules: Rule[] = [
    { nr: 9, name: 'mmap', reason: 'the guest memory the sentry lays out', when: [belowPlatform, { argument: 3, bitsSet: MAP_FIXED }] },
    { nr: 10, name: 'mprotect', reason: 'page protection of guest memory', when: [belowPlatform] },
    { nr: 11, name: 'munmap', reason: 'guest memory given back', when: [belowPlatform] },
    {
      nr: 25,
      name: 'mremap',
      reason: 'guest memory moved or resized',
      when: [belowPlatform, { argument: 3, bitsClear: ~MREMAP_KNOWN_FLAGS }, { argument: 4, below: guestEnd }],
    },
    { nr: 26, name: 'msync', reason: 'write-back of shared file mappings', when: [belowPlatform] },
    { nr: 28, name: 'madvise', reason: 'MADV_DONTNEED and hints on guest memory', when: [belowPlatform] },
    { nr: 56, name: 'clone', reason: 'fork and threads, with exactly the flags of the sentry', when: [{ argument: 0, oneOf: cloneFlags }] },
    { nr: 60, name: 'exit', reason: 'the end of one guest thread' },
    { nr: 231, name: 'exit_group', reason: 'the end of a guest process' },
    { nr: 96, name: 'gettimeofday', reason: 'the vsyscall page consults the filter; tells the time, as the vDSO does' },
    { nr: 201, name: 'time', reason: 'as gettimeofday' },
    { nr: 309, name: 'getcpu', reason: 'as gettimeofday; tells the CPU number, as the vDSO does' },
  ];
  return { name: 'stub', otherwise: 'kill', rules };
}

/**
 * /proc/PID/smaps and smaps_rollup: what the areas of an address space cost (fs/proc/task_mmu.c).
 *
 * Which pages are resident only the host knows. Everything accessible counts as resident here, belongs to this process alone, and is dirty
 * where it is not of a file: an upper bound, the same that status and statm tell.
 */
import { MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE } from '#sentry/abi/mman.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { Vma } from '../../mm/vma.ts';
import type { Path } from '../../vfs/mount.ts';
import { mapsLine } from './maps.ts';

/** In KiB. */
interface Costs {
  resident: number;
  anonymous: number;
  file: number;
  locked: number;
}

/** What a stack has when a program starts. */
const STACK_KIB = 132;

function costsOf(area: Vma): Costs {
  const size = (area.end - area.start) / 1024;
  // The stack's area is as large as it may grow.
  const resident = area.protection === 0 ? 0 : area.name === '[stack]' ? Math.min(size, STACK_KIB) : size;
  return {
    resident,
    anonymous: area.file === null ? resident : 0,
    file: area.file === null ? 0 : resident,
    locked: area.locked ? resident : 0,
  };
}

function line(name: string, kib: number): string {
  return `${`${name}:`.padEnd(16)}${String(kib).padStart(8)} kB\n`;
}

const NONE = ['LazyFree', 'AnonHugePages', 'ShmemPmdMapped', 'FilePmdMapped', 'Shared_Hugetlb', 'Private_Hugetlb', 'Swap', 'SwapPss'];

/** The lines that both files have, after Pss. */
function shares({ resident, anonymous, file, locked }: Costs): string {
  return (
    line('Shared_Clean', 0) +
    line('Shared_Dirty', 0) +
    line('Private_Clean', file) +
    line('Private_Dirty', anonymous) +
    line('Referenced', resident) +
    line('Anonymous', anonymous) +
    line('KSM', 0) +
    NONE.map((name) => line(name, 0)).join('') +
    line('Locked', locked)
  );
}

export function smapsText(mm: AddressSpace, root: Path): string {
  return mm.areas.all
    .map((area) => {
      const costs = costsOf(area);
      const sizes = line('Size', (area.end - area.start) / 1024) + line('KernelPageSize', 4) + line('MMUPageSize', 4);
      const portions = line('Rss', costs.resident) + line('Pss', costs.resident) + line('Pss_Dirty', costs.anonymous);
      return `${mapsLine(area, mm, root)}${sizes}${portions}${shares(costs)}${'THPeligible:'.padEnd(16)}${'0'.padStart(8)}\nVmFlags: ${vmFlags(area)}\n`;
    })
    .join('');
}

/** Two letters for what may be done: now, and after mprotect. */
function vmFlags({ protection, flags }: Vma): string {
  const now = [
    (protection & PROT_READ) !== 0 ? 'rd ' : '',
    (protection & PROT_WRITE) !== 0 ? 'wr ' : '',
    (protection & PROT_EXEC) !== 0 ? 'ex ' : '',
  ];
  return `${now.join('')}${(flags & MAP_SHARED) !== 0 ? 'sh ' : ''}mr mw me `;
}

export function smapsRollupText(mm: AddressSpace): string {
  const sum: Costs = { resident: 0, anonymous: 0, file: 0, locked: 0 };
  for (const area of mm.areas.all) {
    const costs = costsOf(area);
    sum.resident += costs.resident;
    sum.anonymous += costs.anonymous;
    sum.file += costs.file;
    sum.locked += costs.locked;
  }
  const first = mm.areas.all[0]?.start ?? 0;
  const last = mm.areas.all.at(-1)?.end ?? 0;
  const head = `${first.toString(16).padStart(8, '0')}-${last.toString(16).padStart(8, '0')} ---p 00000000 00:00 0 `;
  const portions =
    line('Rss', sum.resident) +
    line('Pss', sum.resident) +
    line('Pss_Dirty', sum.anonymous) +
    line('Pss_Anon', sum.anonymous) +
    line('Pss_File', sum.file) +
    line('Pss_Shmem', 0);
  return `${head.padEnd(ROLLUP_COLUMN)}[rollup]\n${portions}${shares(sum)}`;
}

/** Column at which the name begins, as in maps. */
const ROLLUP_COLUMN = 73;

/**
 * What mmap(2), mprotect(2) and mremap(2) refuse before anything is done, in Linux's order (mm/mmap.c do_mmap, mm/mremap.c), and what a
 * mapping counts for.
 */
import { EACCES, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM } from '#sentry/abi/errno.ts';
import {
  MAP_32BIT,
  MAP_ANONYMOUS,
  MAP_DENYWRITE,
  MAP_EXECUTABLE,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_STACK,
  MAP_TYPE,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PROT_WRITE,
  pageRoundUp,
} from '#sentry/abi/mman.ts';
import type { MappedFile } from './mapped-file.ts';
import { NEVER_WRITABLE } from './vma.ts';
import type { Vma } from './vma.ts';

/** mmap_min_addr. */
export const LOWEST_ADDRESS = 0x1_0000;
/** More than any address space holds: refused before anything else is looked at. */
const ADDRESSES = 2 ** 47;
/** Linux's LEGACY_MAP_MASK. */
const VALIDATED_FLAGS =
  MAP_TYPE |
  MAP_FIXED |
  MAP_FIXED_NOREPLACE |
  MAP_ANONYMOUS |
  MAP_32BIT |
  MAP_GROWSDOWN |
  MAP_DENYWRITE |
  MAP_EXECUTABLE |
  MAP_LOCKED |
  MAP_NORESERVE |
  MAP_POPULATE |
  MAP_NONBLOCK |
  MAP_STACK |
  MAP_HUGETLB;

const KEPT_FLAGS = MAP_NORESERVE | MAP_GROWSDOWN | MAP_STACK;

export function checkMmap(
  hint: number,
  length: number,
  flags: number,
  file: MappedFile | null,
  offset: number,
  protection: number,
): number {
  if (!(length > 0) || offset % PAGE_SIZE !== 0) return -EINVAL;
  const type = flags & MAP_TYPE;
  if (type !== MAP_SHARED && type !== MAP_PRIVATE && type !== MAP_SHARED_VALIDATE) return -EINVAL;
  if (length > ADDRESSES) return -ENOMEM;
  if (!(offset >= 0 && offset + length <= 2 ** 64)) return -EOVERFLOW;
  if ((flags & MAP_HUGETLB) !== 0) return -ENOMEM;
  if (!(hint >= 0)) return -EINVAL;
  if (file === null) return 0;
  // Of the flags that only MAP_SHARED_VALIDATE knows, MAP_SYNC needs persistent memory.
  if (type === MAP_SHARED_VALIDATE && (flags & ~VALIDATED_FLAGS) !== 0) return -EOPNOTSUPP;
  if (!file.readable) return -EACCES;
  if (type === MAP_PRIVATE || (protection & PROT_WRITE) === 0) return 0;
  if (!file.writable) return -EACCES;
  if (file.refusesSharedWrites) return -EPERM;
  return 0;
}

/** What RLIMIT_DATA counts. */
export function isData(protection: number, flags: number): boolean {
  return (flags & MAP_TYPE) === MAP_PRIVATE && (protection & PROT_WRITE) !== 0;
}

/** Whether a mapping can become memory of its own. */
export function mayCommit(protection: number, flags: number, file: MappedFile | null): boolean {
  return (flags & MAP_TYPE) === MAP_PRIVATE ? (protection & PROT_WRITE) !== 0 : file === null;
}

export function mayProtect({ flags }: Readonly<Vma>, protection: number): boolean {
  return (protection & PROT_WRITE) === 0 || (flags & NEVER_WRITABLE) === 0;
}

/** What `Vma.flags` is for a mapping with these flags of mmap(2). */
export function flagsOfArea(flags: number, file: MappedFile | null): number {
  const kept = flags & KEPT_FLAGS;
  if ((flags & MAP_TYPE) === MAP_PRIVATE) return MAP_PRIVATE | kept;
  return MAP_SHARED | kept | (file === null || (file.writable && !file.refusesSharedWrites) ? 0 : NEVER_WRITABLE);
}

export function checkMremap(address: number, oldLength: number, newLength: number, flags: number, target: number, highest: number): number {
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0) return -EINVAL;
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0 && (flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
  if ((flags & MREMAP_DONTUNMAP) !== 0 && pageRoundUp(oldLength) !== pageRoundUp(newLength)) return -EINVAL;
  if (address % PAGE_SIZE !== 0 || !(newLength > 0) || newLength > highest) return -EINVAL;
  if (!(address + pageRoundUp(oldLength) <= highest)) return -EINVAL;
  if ((flags & MREMAP_FIXED) === 0) return 0;
  if (target % PAGE_SIZE !== 0 || target + pageRoundUp(newLength) > highest) return -EINVAL;
  if (target < LOWEST_ADDRESS) return -EPERM;
  const overlaps = target < address + pageRoundUp(oldLength) && address < target + pageRoundUp(newLength);
  return overlaps ? -EINVAL : 0;
}

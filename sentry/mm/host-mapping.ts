/**
 * What a mapping of the guest's is on the host: which file, which kind, at which offset.
 *
 * A shared mapping that can never be written to is a private one there. Both show the pages of the host's page cache and so what others write
 * to the file, but a guest that gets at mprotect(2) of its own process by some way around the sentry can at most write to a copy.
 */
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from '#sentry/abi/mman.ts';
import type { GuestThread } from '#platform/contract/platform.ts';
import type { MappedFile } from './mapped-file.ts';
import { NEVER_WRITABLE } from './vma.ts';
import type { Vma } from './vma.ts';

/** Maps [address, address+size); `flags` as in `Vma.flags`, perhaps with MAP_POPULATE. 0 or -errno. */
export function mapOnHost(
  thread: GuestThread,
  address: number,
  size: number,
  protection: number,
  flags: number,
  file: MappedFile | null,
  offset: number,
): number {
  const type = (flags & (MAP_SHARED | NEVER_WRITABLE)) === MAP_SHARED ? MAP_SHARED : MAP_PRIVATE;
  const hostFlags = type | MAP_FIXED | (flags & (MAP_NORESERVE | MAP_POPULATE));
  if (file === null) return thread.mmap(address, size, protection, hostFlags | MAP_ANONYMOUS, -1, 0);
  const target = file.mappable((flags & MAP_SHARED) !== 0, offset, size);
  if (typeof target === 'number') return target;
  if (target.hostFd < 0) return thread.mmap(address, size, protection, hostFlags | MAP_ANONYMOUS, -1, 0);
  return thread.mmap(address, size, protection, hostFlags, target.hostFd, target.hostOffset + offset);
}

/**
 * Maps `size` bytes at `address` once more as the shared `area` has them at `source`. The host's mremap(2) can do that only for what it has as
 * shared itself.
 */
export function duplicateOnHost(thread: GuestThread, area: Readonly<Vma>, source: number, size: number, address: number): number {
  const { file, protection, flags } = area;
  if ((flags & NEVER_WRITABLE) === 0) return thread.mremap(source, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, address);
  return mapOnHost(thread, address, size, protection, flags, file, area.offset + (source - area.start));
}

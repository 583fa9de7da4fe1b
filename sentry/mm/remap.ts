/**
 * mremap(2): an area becomes longer, shorter, or lies elsewhere; shared memory is mapped a second time. Linux: mm/mremap.c.
 */
import { EFAULT, EINVAL, ENOMEM } from '#sentry/abi/errno.ts';
import { MAP_SHARED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, pageRoundUp } from '#sentry/abi/mman.ts';
import type { GuestThread } from '#platform/contract/platform.ts';
import type { AddressSpace, MemoryLimits } from './address-space.ts';
import { duplicateOnHost } from './host-mapping.ts';
import { checkMremap } from './mmap-checks.ts';
import { committedIn } from './vma.ts';
import type { Vma } from './vma.ts';

/** Returns the new address or -errno. */
export function remap(
  mm: AddressSpace,
  thread: GuestThread,
  address: number,
  oldLength: number,
  newLength: number,
  flags: number,
  target: number,
  limits: MemoryLimits,
): number {
  const refusal = checkMremap(address, oldLength, newLength, flags, target, mm.limits.highestAddress);
  if (refusal < 0) return refusal;
  const oldSize = pageRoundUp(oldLength);
  const newSize = pageRoundUp(newLength);
  const area = mm.areas.find(address);
  if (area === undefined) return -EFAULT;
  if (oldSize === 0) return mayAdd(mm, area, newSize, limits) ? duplicate(mm, thread, area, address, newSize, flags, target) : -ENOMEM;
  const fixed = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0;
  if (newSize <= oldSize && !fixed) {
    return newSize === oldSize ? address : mm.munmap(thread, address + newSize, oldSize - newSize) < 0 ? -ENOMEM : address;
  }
  // Linux takes away what is too much first, and there may be holes in that.
  if (area.end < address + Math.min(oldSize, newSize)) return -EFAULT;
  // What MREMAP_DONTUNMAP leaves behind goes on counting.
  if (!mayAdd(mm, area, newSize - ((flags & MREMAP_DONTUNMAP) === 0 ? oldSize : 0), limits)) return -ENOMEM;
  if (!fixed && area.end === address + oldSize && canGrow(mm, area, newSize - oldSize))
    return grow(mm, thread, area, address, oldSize, newSize);
  if ((flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
  return move(mm, thread, area, address, oldSize, newSize, flags, target);
}

/** Whether limits and budget allow `bytes` more of what `area` is. */
function mayAdd(mm: AddressSpace, area: Readonly<Vma>, bytes: number, limits: MemoryLimits): boolean {
  if (bytes <= 0) return true;
  return mm.areas.totalBytes + bytes <= limits.addressSpace && (committedIn(area) === 0 || mm.budget.fits(bytes));
}

function canGrow(mm: AddressSpace, area: Readonly<Vma>, by: number): boolean {
  return area.end + by <= mm.limits.highestAddress && mm.areas.isFree(area.end, area.end + by);
}

function grow(mm: AddressSpace, thread: GuestThread, area: Readonly<Vma>, address: number, oldSize: number, newSize: number): number {
  const result = thread.mremap(address, oldSize, newSize, 0, 0);
  if (result < 0) return result;
  mm.noteCopy(area.piece(address + oldSize, address + newSize));
  return address;
}

function move(
  mm: AddressSpace,
  thread: GuestThread,
  area: Readonly<Vma>,
  address: number,
  oldSize: number,
  newSize: number,
  flags: number,
  target: number,
): number {
  const destination = (flags & MREMAP_FIXED) !== 0 ? target : mm.free.place(target, newSize, 0);
  if (destination < 0) return destination;
  const hostFlags = MREMAP_MAYMOVE | MREMAP_FIXED | (flags & MREMAP_DONTUNMAP);
  const result = thread.mremap(address, oldSize, newSize, hostFlags, destination);
  if (result < 0) return result;
  const moved = area.at(destination, destination + newSize, area.offset + (address - area.start));
  mm.noteCopy(moved);
  if ((flags & MREMAP_DONTUNMAP) === 0) mm.noteGone(address, address + oldSize);
  return destination;
}

/** `oldLength` 0: a second mapping of shared memory. */
function duplicate(
  mm: AddressSpace,
  thread: GuestThread,
  area: Readonly<Vma>,
  address: number,
  size: number,
  flags: number,
  target: number,
): number {
  if ((area.flags & MAP_SHARED) === 0 || (flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
  const destination = (flags & MREMAP_FIXED) !== 0 ? target : mm.free.place(0, size, 0);
  if (destination < 0) return destination;
  // Linux clears the place before it looks for what is to be there, and then that is gone.
  if (destination <= address && address < destination + size) return mm.munmap(thread, destination, size) || -EFAULT;
  const result = duplicateOnHost(thread, area, address, size, destination);
  if (result < 0) return result;
  mm.noteCopy(area.at(destination, destination + size, area.offset + (address - area.start)));
  return destination;
}

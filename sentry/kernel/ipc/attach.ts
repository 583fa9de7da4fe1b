/**
 * shmat(2) and shmdt(2): a segment in an address space. Linux: ipc/shm.c do_shmat, ksys_shmdt.
 */
import { EACCES, EINVAL, ENFILE } from '#sentry/abi/errno.ts';
import { IPC_EXECUTE, IPC_READ, IPC_WRITE, SHM_EXEC, SHM_RDONLY, SHM_REMAP, SHM_RND } from '#sentry/abi/ipc.ts';
import { MAP_FIXED, MAP_SHARED, PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE, pageRoundDown, pageRoundUp } from '#sentry/abi/mman.ts';
import type { MemoryLimits } from '../../mm/address-space.ts';
import type { Vma } from '../../mm/vma.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Task } from '../task.ts';
import { ShmAttachment } from './shm-segment.ts';
import type { ShmSegment } from './shm-segment.ts';

/** Addresses end here, even where the guest has none that high. */
const ADDRESSES = 2 ** 64;

/** Attaches the segment called `id` at `address`, or where there is room when that is 0. The address or -errno. */
export function attach(task: Task, id: number, address: number, flags: number, limits: MemoryLimits): number {
  const { shm } = task.kernel.ipc;
  if (id < 0) return -EINVAL;
  const place = placeOf(address, flags);
  if (place < 0) return place;
  const segment = shm.table.find(id);
  if (segment === undefined) return -EINVAL;
  if (!segment.permits(task.credentials, accessOf(flags))) return -EACCES;
  const end = place + pageRoundUp(segment.size);
  if (place !== 0 && (flags & SHM_REMAP) === 0 && (end > ADDRESSES || !task.mm.areas.isFree(place, end))) return -EINVAL;
  if (FileDescription.areTooMany) return -ENFILE;
  shm.hold(segment);
  const result = mapSegment(task, segment, place, flags, limits);
  shm.letGo(segment);
  return result;
}

/** SHMLBA is a page. */
function placeOf(address: number, flags: number): number {
  if (address === 0) return (flags & SHM_REMAP) !== 0 ? -EINVAL : 0;
  if (address % PAGE_SIZE === 0) return address;
  if ((flags & SHM_RND) === 0) return -EINVAL;
  const rounded = pageRoundDown(address);
  return rounded === 0 && (flags & SHM_REMAP) !== 0 ? -EINVAL : rounded;
}

function accessOf(flags: number): number {
  return IPC_READ | ((flags & SHM_RDONLY) !== 0 ? 0 : IPC_WRITE) | ((flags & SHM_EXEC) !== 0 ? IPC_EXECUTE : 0);
}

function mapSegment({ kernel, mm, thread }: Task, segment: ShmSegment, place: number, flags: number, limits: MemoryLimits): number {
  const readOnly = (flags & SHM_RDONLY) !== 0;
  const protection = PROT_READ | (readOnly ? 0 : PROT_WRITE) | ((flags & SHM_EXEC) !== 0 ? PROT_EXEC : 0);
  const attachment = new ShmAttachment(kernel.ipc.shm, segment, readOnly ? 'read' : 'write');
  const mapFlags = MAP_SHARED | (place === 0 ? 0 : MAP_FIXED);
  const result = mm.mmap(thread, place, segment.size, protection, mapFlags, attachment, 0, limits);
  attachment.release();
  return result;
}

/** Takes away what an attach at `address` has put there and is still there. 0 or -errno. */
export function detach({ mm, thread }: Task, address: number): number {
  if (address % PAGE_SIZE !== 0) return -EINVAL;
  let attachment: ShmAttachment | null = null;
  let end = Infinity;
  for (let i = mm.areas.indexAbove(address); ; ) {
    const area = mm.areas.at(i);
    if (area === undefined || area.end > end) return attachment === null ? -EINVAL : 0;
    if (!isPieceAt(area, address) || (attachment !== null && area.file !== attachment)) {
      i++;
      continue;
    }
    if (attachment === null) {
      attachment = area.file as ShmAttachment;
      end = address + pageRoundUp(attachment.segment.size);
    }
    const result = mm.munmap(thread, area.start, area.end - area.start);
    if (result < 0) return result;
  }
}

/** Whether `area` belongs to a segment that begins at `address`. */
function isPieceAt(area: Readonly<Vma>, address: number): boolean {
  return area.file instanceof ShmAttachment && area.start - address === area.offset;
}

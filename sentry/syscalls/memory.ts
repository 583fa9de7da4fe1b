/**
 * Memory: mmap(2), munmap(2), mprotect(2), mremap(2), brk(2), madvise(2), msync(2), mlock(2) and kin. The work is in sentry/mm.
 */
import { EBADF, EBUSY, EINVAL, ENOMEM, ENOSYS, EPERM } from '#sentry/abi/errno.ts';
import * as m from '#sentry/abi/mman.ts';
import { MS_NOEXEC, O_PATH } from '#sentry/abi/fs.ts';
import { READ_IMPLIES_EXEC } from '#sentry/abi/prctl.ts';
import { RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK } from '#sentry/abi/resource.ts';
import { CAP_IPC_LOCK, capable } from '../vfs/credentials.ts';
import type { MemoryLimits } from '../mm/address-space.ts';
import { remap } from '../mm/remap.ts';
import { DONTFORK } from '../mm/vma.ts';
import type { Task } from '../kernel/task.ts';
import { addr, family, fd, flags, full, hex64, i32, out, partial, refused, size, syscall, u32 } from './row.ts';

const PROT = flags({ PROT_READ: m.PROT_READ, PROT_WRITE: m.PROT_WRITE, PROT_EXEC: m.PROT_EXEC });
const MAP = flags({
  MAP_SHARED: m.MAP_SHARED,
  MAP_PRIVATE: m.MAP_PRIVATE,
  MAP_FIXED: m.MAP_FIXED,
  MAP_ANONYMOUS: m.MAP_ANONYMOUS,
  MAP_32BIT: m.MAP_32BIT,
  MAP_GROWSDOWN: m.MAP_GROWSDOWN,
  MAP_DENYWRITE: m.MAP_DENYWRITE,
  MAP_EXECUTABLE: m.MAP_EXECUTABLE,
  MAP_LOCKED: m.MAP_LOCKED,
  MAP_NORESERVE: m.MAP_NORESERVE,
  MAP_POPULATE: m.MAP_POPULATE,
  MAP_NONBLOCK: m.MAP_NONBLOCK,
  MAP_STACK: m.MAP_STACK,
  MAP_HUGETLB: m.MAP_HUGETLB,
  MAP_SYNC: m.MAP_SYNC,
  MAP_FIXED_NOREPLACE: m.MAP_FIXED_NOREPLACE,
});

/** The memory limits of a process. One object is reused: it is read at once. */
const limits = { addressSpace: Infinity, data: Infinity };
export function memoryLimits(task: Task): MemoryLimits {
  limits.addressSpace = task.group.limits.soft(RLIMIT_AS);
  limits.data = task.group.limits.soft(RLIMIT_DATA);
  return limits;
}

/** The highest addresses round up to 2^64 as doubles; none of them begins a page. */
function isPageAligned(address: number): boolean {
  return address % m.PAGE_SIZE === 0 && address !== 2 ** 64;
}

function readImpliesExec(task: Task, protection: number): boolean {
  return (task.personality & READ_IMPLIES_EXEC) !== 0 && (protection & m.PROT_READ) !== 0;
}

function mmap(
  task: Task,
  address: number,
  length: number,
  protection: number,
  mapFlags: number,
  descriptor: number,
  offset: number,
): number {
  let prot = protection & (m.PROT_READ | m.PROT_WRITE | m.PROT_EXEC);
  const file = (mapFlags & m.MAP_ANONYMOUS) !== 0 ? null : task.files.get(descriptor);
  const noExec = ((file?.mount?.flags ?? 0) & MS_NOEXEC) !== 0;
  if (readImpliesExec(task, prot) && !noExec) prot |= m.PROT_EXEC;
  if (file === null) return task.mm.mmap(task.thread, address, length, prot, mapFlags, null, 0, memoryLimits(task));
  if (file === undefined || (file.flags & O_PATH) !== 0) return -EBADF;
  if ((prot & m.PROT_EXEC) !== 0 && noExec) return -EPERM;
  return task.mm.mmap(task.thread, address, length, prot, mapFlags, file, offset, memoryLimits(task));
}

function mprotect(task: Task, address: number, length: number, protection: number): number {
  if ((protection & (m.PROT_GROWSDOWN | m.PROT_GROWSUP)) !== 0) return -EINVAL;
  if ((protection & ~(m.PROT_READ | m.PROT_WRITE | m.PROT_EXEC)) !== 0) return -EINVAL;
  return task.mm.mprotect(task.thread, address, length, readImpliesExec(task, protection) ? protection | m.PROT_EXEC : protection);
}

/** Advice that changes what the guest can observe, or that the host can use. All of it is harmless on the stub's own mappings. */
const HOST_ADVICE = new Set<number>([
  m.MADV_NORMAL,
  m.MADV_RANDOM,
  m.MADV_SEQUENTIAL,
  m.MADV_WILLNEED,
  m.MADV_DONTNEED,
  m.MADV_FREE,
  m.MADV_REMOVE,
  m.MADV_DONTFORK,
  m.MADV_DOFORK,
  m.MADV_HUGEPAGE,
  m.MADV_NOHUGEPAGE,
  m.MADV_WIPEONFORK,
  m.MADV_KEEPONFORK,
  m.MADV_COLD,
  m.MADV_PAGEOUT,
  m.MADV_POPULATE_READ,
  m.MADV_POPULATE_WRITE,
  m.MADV_DONTNEED_LOCKED,
  m.MADV_COLLAPSE,
]);
const IGNORED_ADVICE = new Set<number>([m.MADV_DONTDUMP, m.MADV_DODUMP]);
/** Advice that locked memory refuses: its pages stay. */
const LOCK_BREAKING = new Set<number>([m.MADV_DONTNEED, m.MADV_FREE, m.MADV_REMOVE, m.MADV_COLD, m.MADV_PAGEOUT]);

function madvise(task: Task, address: number, length: number, advice: number): number {
  if (!isPageAligned(address)) return -EINVAL;
  if (!HOST_ADVICE.has(advice) && !IGNORED_ADVICE.has(advice)) return -EINVAL;
  const end = address + m.pageRoundUp(length);
  if (length === 0) return 0;
  if (!(end <= task.mm.limits.highestAddress)) return -EINVAL;
  const result = adviseHost(task, address, end, advice);
  if (result < 0 && result !== -ENOMEM) return result;
  noteForkAdvice(task, address, end, advice);
  return result;
}

/** Tells the host, once for each run of areas without a hole. Linux goes over every mapped piece and reports a hole at the end. */
function adviseHost({ mm, thread }: Task, start: number, end: number, advice: number): number {
  const { areas } = mm;
  const refusesLocked = LOCK_BREAKING.has(advice);
  let result = 0;
  let from = start;
  let reached = start;
  for (let i = areas.indexAbove(start); ; i++) {
    const area = areas.at(i);
    const more = area !== undefined && area.start < end;
    const stops = more && refusesLocked && area.locked;
    if (!more || stops || area.start > reached) {
      const done = reached > from && HOST_ADVICE.has(advice) ? thread.madvise(from, reached - from, advice) : 0;
      if (done < 0) return done;
      if (stops) return -EINVAL;
      if (!more) return reached < end ? -ENOMEM : result;
      result = -ENOMEM;
      from = area.start;
    }
    reached = Math.min(end, area.end);
  }
}

function noteForkAdvice(task: Task, start: number, end: number, advice: number): void {
  if (advice !== m.MADV_DONTFORK && advice !== m.MADV_DOFORK) return;
  task.mm.areas.update(start, end, (area) => {
    area.forkAdvice = advice === m.MADV_DONTFORK ? DONTFORK : 0;
  });
}

function msync(task: Task, address: number, length: number, syncFlags: number): number {
  if (!isPageAligned(address)) return -EINVAL;
  if ((syncFlags & ~(m.MS_ASYNC | m.MS_INVALIDATE | m.MS_SYNC)) !== 0) return -EINVAL;
  if ((syncFlags & m.MS_ASYNC) !== 0 && (syncFlags & m.MS_SYNC) !== 0) return -EINVAL;
  const end = address + m.pageRoundUp(length);
  if (!task.mm.areas.covers(address, end)) return -ENOMEM;
  if ((syncFlags & m.MS_INVALIDATE) !== 0 && hasLocked(task, address, end)) return -EBUSY;
  return length === 0 ? 0 : task.thread.msync(address, end - address, syncFlags);
}

function hasLocked(task: Task, start: number, end: number): boolean {
  const { areas } = task.mm;
  for (let i = areas.indexAbove(start); ; i++) {
    const area = areas.at(i);
    if (area === undefined || area.start >= end) return false;
    if (area.locked) return true;
  }
}

function setLocked(task: Task, address: number, length: number, locked: boolean): number {
  const start = m.pageRoundDown(address);
  const end = m.pageRoundUp(address + length);
  if (end < start) return -EINVAL;
  if (locked && !capable(task.credentials, CAP_IPC_LOCK)) {
    const limit = task.group.limits.soft(RLIMIT_MEMLOCK);
    if (limit === 0) return -EPERM;
    if (end - start > limit) return -ENOMEM;
  }
  if (!task.mm.areas.covers(start, end)) return -ENOMEM;
  task.mm.areas.update(start, end, (area) => {
    area.locked = locked;
  });
  return 0;
}

function lockAll(task: Task, lockFlags: number): number {
  if (lockFlags === 0 || (lockFlags & ~(m.MCL_CURRENT | m.MCL_FUTURE | m.MCL_ONFAULT)) !== 0 || lockFlags === m.MCL_ONFAULT) return -EINVAL;
  if (!capable(task.credentials, CAP_IPC_LOCK)) {
    const limit = task.group.limits.soft(RLIMIT_MEMLOCK);
    if (limit === 0) return -EPERM;
    if ((lockFlags & m.MCL_CURRENT) !== 0 && task.mm.areas.totalBytes > limit) return -ENOMEM;
  }
  task.mm.lockFuture = (lockFlags & m.MCL_FUTURE) !== 0;
  if ((lockFlags & m.MCL_CURRENT) !== 0) setAllLocked(task, true);
  return 0;
}

function setAllLocked(task: Task, locked: boolean): number {
  if (!locked) task.mm.lockFuture = false;
  task.mm.areas.update(0, task.mm.limits.highestAddress, (area) => {
    area.locked = locked;
  });
  return 0;
}

function mincore(task: Task, address: number, length: number, vector: number): number {
  if (!isPageAligned(address)) return -EINVAL;
  const pages = m.pageRoundUp(length) / m.PAGE_SIZE;
  if (!task.mm.areas.covers(address, address + pages * m.PAGE_SIZE)) return -ENOMEM;
  // Which pages are resident is the host's affair: every mapped page is reported as such, as Linux does for files it may not tell about.
  const { scratch } = task;
  const step = scratch.bytes.length;
  for (let done = 0; done < pages; done += step) {
    const count = Math.min(step, pages - done);
    scratch.bytes.fill(1, 0, count);
    const result = task.memory.copyOut(vector + done, scratch, 0, count);
    if (result < 0) return result;
  }
  return 0;
}

export const memoryRows = family(
  syscall({
    name: 'mmap',
    nr: { x64: 9, arm64: 222 },
    args: { addr: hex64, length: size, prot: PROT, flags: MAP, fd, offset: hex64 },
    support: partial('MAP_HUGETLB fails with ENOMEM; MAP_GROWSDOWN mappings do not grow'),
    run: mmap,
  }),
  syscall({ name: 'mprotect', nr: { x64: 10, arm64: 226 }, args: { addr, length: size, prot: PROT }, support: full, run: mprotect }),
  syscall({
    name: 'munmap',
    nr: { x64: 11, arm64: 215 },
    args: { addr, length: size },
    support: full,
    run: (task, address, length) => task.mm.munmap(task.thread, address, length),
  }),
  syscall({
    name: 'brk',
    nr: { x64: 12, arm64: 214 },
    args: { addr },
    support: full,
    run: (task, address) => task.mm.setBrk(task.thread, address, memoryLimits(task)),
  }),
  syscall({
    name: 'mremap',
    nr: { x64: 25, arm64: 216 },
    args: {
      addr,
      oldSize: size,
      newSize: size,
      flags: flags({ MREMAP_MAYMOVE: 1, MREMAP_FIXED: 2, MREMAP_DONTUNMAP: 4 }),
      newAddress: addr,
    },
    support: full,
    run: (task, address, oldSize, newSize, mremapFlags, target) =>
      remap(task.mm, task.thread, address, oldSize, newSize, mremapFlags, target, memoryLimits(task)),
  }),
  syscall({
    name: 'msync',
    nr: { x64: 26, arm64: 227 },
    args: { addr, length: size, flags: flags({ MS_ASYNC: 1, MS_INVALIDATE: 2, MS_SYNC: 4 }) },
    support: full,
    run: msync,
  }),
  syscall({
    name: 'mincore',
    nr: { x64: 27, arm64: 232 },
    args: { addr, length: size, vec: out(1) },
    support: partial('every mapped page is reported as resident'),
    run: mincore,
  }),
  syscall({
    name: 'madvise',
    nr: { x64: 28, arm64: 233 },
    args: { addr, length: size, advice: i32 },
    support: partial('advice on dumping is accepted and has no effect; merging of pages is refused, as on a kernel without it'),
    run: madvise,
  }),
  syscall({
    name: 'mlock',
    nr: { x64: 149, arm64: 228 },
    args: { addr, length: size },
    support: partial('limits and VmLck are kept; the host may still page'),
    run: (task, address, length) => setLocked(task, address, length, true),
  }),
  syscall({
    name: 'mlock2',
    nr: { x64: 325, arm64: 284 },
    args: { addr, length: size, flags: u32 },
    support: partial('as mlock'),
    run: (task, address, length, lockFlags) => ((lockFlags & ~m.MLOCK_ONFAULT) !== 0 ? -EINVAL : setLocked(task, address, length, true)),
  }),
  syscall({
    name: 'munlock',
    nr: { x64: 150, arm64: 229 },
    args: { addr, length: size },
    support: full,
    run: (task, address, length) => setLocked(task, address, length, false),
  }),
  syscall({ name: 'mlockall', nr: { x64: 151, arm64: 230 }, args: { flags: u32 }, support: partial('as mlock'), run: lockAll }),
  syscall({ name: 'munlockall', nr: { x64: 152, arm64: 231 }, args: {}, support: full, run: (task) => setAllLocked(task, false) }),
  syscall({
    name: 'remap_file_pages',
    nr: { x64: 216, arm64: 234 },
    args: { addr, size, prot: u32, pgoff: size, flags: u32 },
    support: refused(ENOSYS, 'obsolete'),
    run: () => -ENOSYS,
  }),
  syscall({
    name: 'pkey_alloc',
    nr: { x64: 330, arm64: 289 },
    args: { flags: u32, rights: u32 },
    support: refused(ENOSYS, 'as on a CPU without protection keys'),
    run: () => -ENOSYS,
  }),
  syscall({
    name: 'pkey_free',
    nr: { x64: 331, arm64: 290 },
    args: { key: i32 },
    support: refused(ENOSYS, 'as on a CPU without protection keys'),
    run: () => -ENOSYS,
  }),
  syscall({
    name: 'pkey_mprotect',
    nr: { x64: 329, arm64: 288 },
    args: { addr, length: size, prot: PROT, key: i32 },
    support: partial('only key -1, which is mprotect'),
    run: (task, address, length, protection, key) => (key === -1 ? mprotect(task, address, length, protection) : -EINVAL),
  }),
  syscall({
    name: 'mbind',
    nr: { x64: 237, arm64: 235 },
    args: { addr, length: size, mode: i32, mask: addr, maxNode: size, flags: hex64 },
    support: refused(ENOSYS, 'as on a kernel without NUMA'),
    run: () => -ENOSYS,
  }),
  syscall({
    name: 'set_mempolicy',
    nr: { x64: 238, arm64: 237 },
    args: { mode: i32, mask: addr, maxNode: size },
    support: refused(ENOSYS, 'as on a kernel without NUMA'),
    run: () => -ENOSYS,
  }),
  syscall({
    name: 'get_mempolicy',
    nr: { x64: 239, arm64: 236 },
    args: { mode: addr, mask: addr, maxNode: size, addr, flags: hex64 },
    support: refused(ENOSYS, 'as on a kernel without NUMA'),
    run: () => -ENOSYS,
  }),
);

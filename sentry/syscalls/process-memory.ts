/**
 * process_vm_readv(2), process_vm_writev(2): memory of another process, for those who may look into it. The bytes go through the sentry's
 * staging memory, piece by piece; like Linux the call ends at the first byte that cannot be moved and tells how far it came.
 */
import { EFAULT, EINVAL, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { MAX_RW_COUNT } from '#sentry/abi/fcntl.ts';
import { UserIo } from '../mm/io.ts';
import type { UserMemory } from '../mm/user-memory.ts';
import { SCRATCH_SIZE } from '../kernel/kernel.ts';
import { mayInspectProcess } from '../fs/proc/access.ts';
import type { Task } from '../kernel/task.ts';
import { importVector } from './read-write.ts';
import { addr, family, hex64, input, many, partial, pid, size, syscall } from './row.ts';

/** Most that one call moves: all other guests wait meanwhile. */
const MOVE_MAX = 16 << 20;

type Direction = 'read' | 'write';

const remoteIo = new UserIo();

/** The remote side's vector, which is in the caller's memory too, over the other one's memory. */
function importRemote(task: Task, vector: number, count: number, memory: UserMemory): number {
  const total = importVector(task, vector, count, MAX_RW_COUNT);
  if (total >= 0) remoteIo.takeOver(task.io, memory);
  return total;
}

function move(task: Task, direction: Direction): number {
  const [from, to] = direction === 'read' ? [remoteIo, task.io] : [task.io, remoteIo];
  let moved = 0;
  while (from.remaining > 0 && to.remaining > 0 && moved < MOVE_MAX) {
    const got = from.take(task.scratch, 0, Math.min(from.remaining, to.remaining, SCRATCH_SIZE));
    if (got < 0) break;
    const put = to.put(task.scratch, 0, got);
    if (put > 0) moved += put;
    if (put !== got) break;
  }
  return moved === 0 ? -EFAULT : moved;
}

function transfer(
  task: Task,
  which: number,
  local: number,
  localCount: number,
  remote: number,
  remoteCount: number,
  flags: number,
  direction: Direction,
): number {
  if (flags !== 0) return -EINVAL;
  const target = task.pids.tasks.get(which);
  // The local vector is looked at first, but imported last: both go through `task.io`.
  const wanted = importVector(task, local, localCount, MAX_RW_COUNT);
  if (wanted <= 0) return wanted;
  const there = importRemote(task, remote, remoteCount, target?.mm.memory ?? task.memory);
  if (there <= 0) return there;
  if (target === undefined || target.hasExited) return -ESRCH;
  if (!mayInspectProcess(task, target.group)) return -EPERM;
  importVector(task, local, localCount, MAX_RW_COUNT);
  return move(task, direction);
}

const ARGS = { pid, local: many(input(16, 'iovec_in'), 'liovcnt', 16), liovcnt: size, remote: addr, riovcnt: size, flags: hex64 };

export const processMemoryRows = family(
  syscall({
    name: 'process_vm_readv',
    nr: { x64: 310, arm64: 270 },
    args: ARGS,
    support: partial('at most 16 MiB a call'),
    run: (task, which, local, localCount, remote, remoteCount, flags) =>
      transfer(task, which, local, localCount, remote, remoteCount, flags, 'read'),
  }),
  syscall({
    name: 'process_vm_writev',
    nr: { x64: 311, arm64: 271 },
    args: ARGS,
    support: partial('at most 16 MiB a call'),
    run: (task, which, local, localCount, remote, remoteCount, flags) =>
      transfer(task, which, local, localCount, remote, remoteCount, flags, 'write'),
  }),
);

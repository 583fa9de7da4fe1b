/**
 * kcmp(2): whether two tasks share a kernel object. The order it reports is that of first comparison: total and stable, as promised, and it
 * tells nothing else.
 */
import { EBADF, EINVAL, EOPNOTSUPP, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { mayInspectProcess } from '../fs/proc/access.ts';
import type { Task } from '../kernel/task.ts';
import { family, hex64, oneOf, partial, pid, syscall } from './row.ts';

const KCMP_TYPES = { KCMP_FILE: 0, KCMP_VM: 1, KCMP_FILES: 2, KCMP_FS: 3, KCMP_SIGHAND: 4, KCMP_IO: 5, KCMP_SYSVSEM: 6, KCMP_EPOLL_TFD: 7 };

const ranks = new WeakMap<object, number>();
let lastRank = 0;

function rankOf(object: object): number {
  let rank = ranks.get(object);
  if (rank === undefined) ranks.set(object, (rank = ++lastRank));
  return rank;
}

/** The object that `type` means; undefined: there is none (a descriptor that is not open), null: not comparable here. */
function objectOf(task: Task, type: number, index: number): object | undefined | null {
  switch (type) {
    case KCMP_TYPES.KCMP_FILE:
      return task.files.get(index);
    case KCMP_TYPES.KCMP_VM:
      return task.mm;
    case KCMP_TYPES.KCMP_FILES:
      return task.files;
    case KCMP_TYPES.KCMP_FS:
      return task.fs;
    case KCMP_TYPES.KCMP_SIGHAND:
      return task.group.handlers;
    case KCMP_TYPES.KCMP_SYSVSEM:
      return task.semaphoreUndo ?? NO_UNDO;
    default:
      return null;
  }
}

/** Stands for the list that a task without SEM_UNDO operations does not have: Linux takes all of these for the same. */
const NO_UNDO = {};

/** 0: the same, 1: the first comes before the second, 2: after. */
function kcmp(task: Task, pid1: number, pid2: number, type: number, index1: number, index2: number): number {
  const one = task.pids.tasks.get(pid1);
  const two = task.pids.tasks.get(pid2);
  if (one === undefined || two === undefined || one.hasExited || two.hasExited) return -ESRCH;
  if (!mayInspectProcess(task, one.group) || !mayInspectProcess(task, two.group)) return -EPERM;
  if (type < 0 || type > KCMP_TYPES.KCMP_EPOLL_TFD) return -EINVAL;
  const first = objectOf(one, type, index1);
  const second = objectOf(two, type, index2);
  if (first === null || second === null) return -EOPNOTSUPP;
  if (first === undefined || second === undefined) return -EBADF;
  if (first === second) return 0;
  return rankOf(first) < rankOf(second) ? 1 : 2;
}

export const kcmpRows = family(
  syscall({
    name: 'kcmp',
    nr: { x64: 312, arm64: 272 },
    args: { pid1: pid, pid2: pid, type: oneOf(KCMP_TYPES), idx1: hex64, idx2: hex64 },
    support: partial('KCMP_IO and KCMP_EPOLL_TFD are refused with EOPNOTSUPP'),
    run: kcmp,
  }),
);

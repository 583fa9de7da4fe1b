/** Descriptors that stand for processes: pidfd_open(2), CLONE_PIDFD. */
import { EBADF, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { READABLE } from '#sentry/abi/fs.ts';
import { PidFile } from '../fs/pidfd/pid-file.ts';
import { ProcessDirectory } from '../fs/proc/process.ts';
import { mayInspectProcess } from '../fs/proc/access.ts';
import type { Task } from './task.ts';
import { ThreadGroup } from './thread-group.ts';

/** A close-on-exec descriptor of `task` for `group`. `flags`: O_NONBLOCK. Returns the descriptor or -errno. */
export function openPidFd(task: Task, group: ThreadGroup, flags = 0): number {
  const file = new PidFile(task.kernel.anonymous, group, group.ended, flags);
  const fd = task.files.install(file, true);
  if (fd < 0) file.release();
  return fd;
}

/** The process behind a descriptor, or -EBADF when it is no pidfd. */
export function groupOfPidFd(task: Task, fd: number): ThreadGroup | number {
  const file = task.files.get(fd);
  if (!(file instanceof PidFile)) return -EBADF;
  const target: unknown = file.target;
  return target instanceof ThreadGroup ? target : -EBADF;
}

/** What pidfd_send_signal(2) takes besides: the directory of a process in /proc. */
export function groupToSignal(task: Task, fd: number): ThreadGroup | number {
  const inode = task.files.get(fd)?.inode;
  if (!(inode instanceof ProcessDirectory)) return groupOfPidFd(task, fd);
  const { group } = inode.task;
  if (inode.task !== group.leader) return -EBADF;
  return task.pids.groups.get(group.pid) === group ? (group as ThreadGroup) : -ESRCH;
}

/** pidfd_getfd(2): a duplicate of another process's descriptor, for those who might trace that process (ptrace(2), access mode checking). */
export function takeDescriptor(task: Task, pidfd: number, wanted: number): number {
  const group = groupOfPidFd(task, pidfd);
  if (typeof group === 'number') return group;
  if (group.isZombie) return -ESRCH;
  if (!mayInspectProcess(task, group)) return -EPERM;
  const file = group.leader.files.get(wanted);
  if (file === undefined) return -EBADF;
  const fd = task.files.install(file, true);
  if (fd >= 0) file.acquire();
  return fd;
}

/** Tells the holders of pidfds that the process has ended. */
export function notifyPidFds(group: ThreadGroup): void {
  group.ended.notify(READABLE);
}

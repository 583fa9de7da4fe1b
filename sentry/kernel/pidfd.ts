/** Descriptors that stand for processes: pidfd_open(2), CLONE_PIDFD. */
import { EBADF } from '#sentry/abi/errno.ts';
import { READABLE } from '#sentry/abi/fs.ts';
import { PidFile } from '../fs/pidfd/pid-file.ts';
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

/** Tells the holders of pidfds that the process has ended. */
export function notifyPidFds(group: ThreadGroup): void {
  group.ended.notify(READABLE);
}
